"""Reading one row without the query builder.

Building and compiling a query costs ten times what the query itself does.  That matters only where every client asks
every second; everything else is read by Tortoise's query sets.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import Any, TypeVar

from tortoise.exceptions import DoesNotExist
from tortoise.fields import DatetimeField
from tortoise.models import Model

from app.storage import database

M = TypeVar("M", bound=Model)


async def first(model: type[M], condition: str, *values: Any, **also: str) -> M | None:
    """The row of *model*, called ``it`` in *condition*, that fulfils it.  Each ``{}`` is the next of *values*.

    *also* are expressions of which the row found has the values, as attributes of these names.
    """
    statement = _statement(model, condition, database.dialect(), *also.items())
    rows = await database.client().execute_query_dict(statement, list(values))
    if not rows:
        return None
    given = _with_times(model, rows[0])
    more = [(name, given.pop(name)) for name in also]
    found = model._init_from_db(**given)
    for name, value in more:
        setattr(found, name, value)
    return found


async def get(model: type[M], id: str) -> M:
    """The row of *model* whose id that is, which must be there."""
    row = await first(model, "it.id = {}", id)
    if row is None:
        raise DoesNotExist(model)
    return row


def _with_times(model: type[Model], row: Mapping[str, Any]) -> dict[str, Any]:
    """SQLite gives times as text, which Tortoise reads by a slow parser made for more than what it writes itself."""
    given = dict(row)
    for column in _times(model):
        if isinstance(given[column], str):
            given[column] = datetime.fromisoformat(given[column])
    return given


@cache
def _times(model: type[Model]) -> tuple[str, ...]:
    return tuple(name for name, field in model._meta.fields_map.items() if isinstance(field, DatetimeField))


@cache
def _statement(model: type[Model], condition: str, dialect: str, *also: tuple[str, str]) -> str:
    columns = ", ".join(
        [f'it."{column}" AS "{name}"' for name, column in model._meta.fields_db_projection.items()]
        + [f'{expression} AS "{name}"' for name, expression in also]
    )
    parameters = (f"${number}" if dialect == "postgres" else "?" for number in range(1, condition.count("{}") + 1))
    return f'SELECT {columns} FROM "{model._meta.db_table}" it WHERE {condition.format(*parameters)} LIMIT 1'

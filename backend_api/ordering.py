"""The order a list was asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from starlette.requests import Request

from backend_api.errors import BadRequest


def order(request: Request, orders: Mapping[str, Sequence[str]], default: str) -> list[str]:
    """The columns to order by.  *orders* names what `sort` may say; ``-`` before it turns it round.  The id comes
    last, so that pages never repeat a row."""
    wanted = request.query_params.get("sort") or default
    columns = orders.get(wanted.removeprefix("-"))
    if columns is None:
        raise BadRequest(
            f"This list has no order {wanted[:60]!r}; it has {', '.join(orders)}, and each with - before it.",
            parameter="sort",
        )
    backwards = wanted.startswith("-")
    return [_turned(column) if backwards else column for column in (*columns, "id")]


def _turned(column: str) -> str:
    return column[1:] if column.startswith("-") else f"-{column}"

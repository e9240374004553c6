"""How much a database has to look at for what is done: no clock is asked, so the figure is the same on every machine.

SQLite counts the steps of its virtual machine, PostgreSQL the rows that its scans read from tables and indexes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from app.storage import database

#: SQLite tells after so many steps.
STEPS = 10

_READ = """
SELECT (SELECT coalesce(sum(seq_tup_read), 0) FROM pg_stat_user_tables)
     + (SELECT coalesce(sum(idx_tup_read), 0) FROM pg_stat_user_indexes) AS rows
"""


@dataclass
class Effort:
    rows: int = 0


@asynccontextmanager
async def counted() -> AsyncIterator[Effort]:
    """What is done inside, by this process, on its one connection."""
    effort = Effort()
    counting = _sqlite(effort) if database.dialect() == "sqlite" else _postgres(effort)
    async with counting:
        yield effort


@asynccontextmanager
async def _sqlite(effort: Effort) -> AsyncIterator[None]:
    def step() -> int:
        effort.rows += STEPS
        return 0

    async with database.client().acquire_connection() as connection:
        await connection.set_progress_handler(step, STEPS)
    yield
    async with database.client().acquire_connection() as connection:
        await connection.set_progress_handler(None, 0)


@asynccontextmanager
async def _postgres(effort: Effort) -> AsyncIterator[None]:
    before = await _rows()
    yield
    effort.rows = await _rows() - before


async def _rows() -> int:
    await database.client().execute_query("SELECT pg_stat_force_next_flush()")
    [row] = await database.client().execute_query_dict(_READ)
    found: Any = row["rows"]
    return int(found)


async def analyze() -> None:
    """Let the planner know what is there, as a database that has run for a while does."""
    await database.client().execute_query("ANALYZE")

"""Letting a step end although whoever waits for it is cancelled, and a hook that lets tests break one.

Tasks are cancelled everywhere: by timeouts, by clients that go away, at shutdown.  A transaction cancelled
in the middle of its BEGIN or COMMIT would leave its connection in a condition nobody knows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractContextManager
from functools import cache
from typing import Any, TypeVar

from prometheus_client import Histogram

from app.measures import database, timed

T = TypeVar("T")
#: What statements begin with; any other is "other", so that no text becomes a series of its own.
WORDS = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE", "WITH"})

#: For tests that break things.  Awaited before each statement with its SQL (also BEGIN and COMMIT), and with
#: "COMMITTED" once a commit is done, before its caller hears of it.  The caller gets what it raises.
hook: Callable[[str], Awaitable[None]] | None = None


async def settle(work: Coroutine[Any, Any, T]) -> T:
    """Run *work* to its end, however often the caller is cancelled meanwhile; then let the cancellation go
    on."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            try:
                await asyncio.wait([task])
            except asyncio.CancelledError:
                continue
        if not task.cancelled():
            task.exception()  # fetched, or the loop would complain that nobody looked
        raise


def measured(query: str) -> AbstractContextManager[None]:
    """Observe how long a statement took, by its first word."""
    return timed(_series(query[:10].split(maxsplit=1)[0].upper()))


@cache
def _series(word: str) -> Histogram:
    return database.labels(word.lower() if word in WORDS else "other")


class Hooked:
    """Put before a client class: each of its statements passes the hook first."""

    async def execute_insert(self, query: str, values: list[Any]) -> Any:
        if hook:
            await hook(query)
        with measured(query):
            return await super().execute_insert(query, values)  # type: ignore[misc]

    async def execute_many(self, query: str, values: list[list[Any]]) -> None:
        if hook:
            await hook(query)
        with measured(query):
            await super().execute_many(query, values)  # type: ignore[misc]

    async def execute_query(self, query: str, values: list[Any] | None = None) -> Any:
        if hook:
            await hook(query)
        with measured(query):
            return await super().execute_query(query, values)  # type: ignore[misc]

    async def execute_query_dict(self, query: str, values: list[Any] | None = None) -> Any:
        if hook:
            await hook(query)
        with measured(query):
            return await super().execute_query_dict(query, values)  # type: ignore[misc]

    async def execute_script(self, query: str) -> None:
        if hook:
            await hook(query)
        with measured(query):
            await super().execute_script(query)  # type: ignore[misc]


async def passing_hook(statement: str) -> None:
    if hook:
        await hook(statement)

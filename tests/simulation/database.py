"""The real engines, with borders before each step and faults inside; and a way back to the beginning in a millisecond.

SQLite runs inline: its thread would make time and order uncertain.  Each round trip to PostgreSQL is counted in
`loop.busy`, so that the loop knows a quiet moment from one in which an answer is on its way.
"""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, cast
from unittest import mock

import aiosqlite
from tortoise.backends.base.client import TransactionalDBClient

from app.errors import Unavailable
from app.storage import database
from app.storage.engines import postgresql, settling, sqlite
from tests.simulation.actors import ACTOR, Died, border, hang
from tests.simulation.loop import VirtualLoop

_WRITES = ("INSERT", "UPDATE", "DELETE")
_WRITTEN = re.compile(r"\b(?:INSERT(?: OR \w+)? INTO|UPDATE|(DELETE) FROM) +\"?(\w+)", re.IGNORECASE)
#: In place of a table's name: what a DELETE takes along is the database's to know.
ANY = "*"


@dataclass
class Fault:
    """What happens to one step: before its statement number *at*, or after its commit."""

    kind: str
    at: int = 0


@cache
def written(statement: str) -> frozenset[str]:
    """The tables that *statement* writes to, or `ANY`."""
    return frozenset(ANY if deleted else table for deleted, table in _WRITTEN.findall(statement))


class Borders:
    """What happens at each statement of the step that is going on."""

    def __init__(self) -> None:
        #: The tables that were written to since the driver last looked.
        self.changed: set[str] = {ANY}
        self._fault: Fault | None = None

    def begin(self, fault: Fault | None) -> None:
        self._fault = fault

    async def passes(self, statement: str) -> None:
        """The engines' hook."""
        if ACTOR.get() is None:
            return
        self.changed |= written(statement)
        fault = self._fault
        if fault is None:
            return
        if statement == "COMMITTED":
            if fault.kind in ("answer lost", "dies after"):
                self._strike(fault)
            return
        if fault.kind in ("error", "dies") and statement != "COMMIT":
            if fault.at <= 0:
                self._strike(fault)
            fault.at -= 1

    def _strike(self, fault: Fault) -> None:
        self._fault = None
        if fault.kind.startswith("dies"):
            actor = ACTOR.get()
            assert actor is not None
            actor.die()
            raise Died
        raise Unavailable("The database does not answer (simulated).")


def loop() -> VirtualLoop:
    return cast(VirtualLoop, asyncio.get_running_loop())


@contextmanager
def elsewhere() -> Iterator[None]:
    """What is awaited here comes from outside the loop, and nobody drives."""
    loop().busy += 1
    try:
        yield
    finally:
        loop().busy -= 1


def _in_transaction() -> bool:
    return isinstance(database.client(), TransactionalDBClient)


async def edge(what: str) -> str | None:
    """A border of a call to an edge; the fault it is to suffer, if any.  None is ever called within a transaction."""
    if _in_transaction():
        raise AssertionError(f"{what} is called inside a transaction, which would hold up everybody")
    waiter = await border(what)
    return waiter.fault.kind if waiter is not None and waiter.fault is not None else None


@contextmanager
def bordered(borders: Borders) -> Iterator[None]:
    """Every step of both engines reaches a border first."""
    with mock.patch.object(settling, "hook", borders.passes):
        patches = [
            mock.patch.object(engine.Client, name, _alone(borders, getattr(engine.Client, name)))
            for engine in (sqlite, postgresql)
            for name in ("execute_insert", "execute_query", "execute_query_dict", "execute_script")
        ]
        patches.append(
            mock.patch.object(postgresql.Client, "execute_many", _alone(borders, postgresql.Client.execute_many))
        )
        for engine in (sqlite, postgresql):
            patches += _transaction(borders, engine.Transaction)
        for patch in patches:
            patch.start()
        try:
            yield
        finally:
            for patch in reversed(patches):
                patch.stop()


@asynccontextmanager
async def _step(borders: Borders, fault: Fault | None) -> AsyncIterator[None]:
    """Something that runs through without a border, counted.  Who died in it does not come out of it."""
    borders.begin(fault)
    loop().busy += 1
    try:
        yield
    finally:
        loop().busy -= 1
        borders.begin(None)
        await _unless_dead()


async def _unless_dead() -> None:
    actor = ACTOR.get()
    if actor is not None and actor.is_dead:
        await hang()


def _alone(borders: Borders, statement: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    async def bordered(client: Any, query: str, *values: Any) -> Any:
        waiter = await border(query)
        fault = waiter.fault if waiter is not None else None
        async with _step(borders, fault):
            found = await statement(client, query, *values)
            if fault is not None and query.startswith(_WRITES):
                await borders.passes("COMMITTED")
            return found

    return bordered


def _transaction(borders: Borders, kind: Any) -> list[Any]:
    enter, leave = kind.__aenter__, kind.__aexit__

    async def __aenter__(self: Any) -> Any:
        waiter = await border("BEGIN")
        borders.begin(waiter.fault if waiter is not None else None)
        loop().busy += 1
        try:
            return await enter(self)
        except BaseException:
            loop().busy -= 1
            borders.begin(None)
            await _unless_dead()
            raise

    async def __aexit__(self: Any, *error: Any) -> None:
        try:
            await leave(self, *error)
        finally:
            loop().busy -= 1
            borders.begin(None)
            await _unless_dead()

    return [mock.patch.object(kind, "__aenter__", __aenter__), mock.patch.object(kind, "__aexit__", __aexit__)]


# SQLite without its thread


class Inline(aiosqlite.Connection):
    """A connection whose statements run where they are asked for."""

    async def _execute(self, fn: Any, *args: Any, **kwargs: Any) -> Any:
        if not self._running or not self._connection:
            raise ValueError("Connection closed")
        return fn(*args, **kwargs)

    async def _connect(self) -> Inline:
        self._connection = self._connection or self._connector()
        return self

    def __await__(self) -> Generator[Any, None, Inline]:
        return self._connect().__await__()

    def stop(self) -> asyncio.Future[Any] | None:
        self._running = False
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        return None


@contextmanager
def inline() -> Iterator[None]:
    def connect(path: str, **options: Any) -> Inline:
        return Inline(lambda: sqlite3.connect(path, check_same_thread=False, **options), iter_chunk_size=64)

    async def at_once(work: Awaitable[Any]) -> Any:
        return await work  # nothing in it waits, so nobody can cancel it

    with mock.patch.object(aiosqlite, "connect", connect), mock.patch.object(sqlite, "settle", at_once):
        yield


# The driver's own look, and the way back


class Looks:
    """What the driver does with the database while nobody else does anything."""

    async def keep(self) -> None:
        """Remember what is in it as the beginning of every history."""
        raise NotImplementedError

    async def back(self) -> None:
        """Return to the beginning."""
        raise NotImplementedError

    async def rows(self, queries: dict[str, str]) -> dict[str, list[dict[str, Any]]]:
        """What each of *queries* finds; moments are of any kind that is not None."""
        raise NotImplementedError


class OnSQLite(Looks):
    def __init__(self) -> None:
        self._beginning = b""

    @property
    def _connection(self) -> sqlite3.Connection:
        client = cast(Any, database.client())
        return cast(sqlite3.Connection, client._connection._conn)

    async def keep(self) -> None:
        self._beginning = self._connection.serialize()

    async def back(self) -> None:
        self._connection.deserialize(self._beginning)
        self._connection.execute("PRAGMA foreign_keys=ON")

    async def rows(self, queries: dict[str, str]) -> dict[str, list[dict[str, Any]]]:
        return {name: [dict(row) for row in self._connection.execute(query)] for name, query in queries.items()}


class OnPostgreSQL(Looks):
    def __init__(self) -> None:
        self._script = ""

    async def keep(self) -> None:
        found = await self.rows({"tables": "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"})
        tables = [row["tablename"] for row in found["tables"]]
        await self._execute("DROP SCHEMA IF EXISTS beginning CASCADE; CREATE SCHEMA beginning")
        for table in tables:
            await self._execute(f'CREATE TABLE beginning."{table}" AS TABLE public."{table}"')
        self._script = "SET session_replication_role = replica;" + "".join(
            f'DELETE FROM public."{table}"; INSERT INTO public."{table}" SELECT * FROM beginning."{table}";'
            for table in tables
        )
        self._script += "SET session_replication_role = DEFAULT;"

    async def back(self) -> None:
        await self._execute(self._script)

    async def rows(self, queries: dict[str, str]) -> dict[str, list[dict[str, Any]]]:
        """All in one round trip, which is what a look costs here."""
        parts = [
            f"'{name}', (SELECT coalesce(json_agg(one), '[]') FROM ({query}) one)" for name, query in queries.items()
        ]
        with elsewhere():
            async with database.client().acquire_connection() as connection:
                text = await connection.fetchval(f"SELECT json_build_object({', '.join(parts)})::text")
        return cast(dict[str, list[dict[str, Any]]], json.loads(text))

    async def _execute(self, script: str) -> None:
        with elsewhere():
            async with database.client().acquire_connection() as connection:
                await connection.execute(script)

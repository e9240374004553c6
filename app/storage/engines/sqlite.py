"""SQLite for several processes.

Differs from Tortoise's own engine in four things.  Transactions begin with ``BEGIN IMMEDIATE``: a deferred
one that has read may not wait for the write lock and fails at once.  Cancelling leaves neither a lock held
nor a transaction open. A script inside a transaction does not commit it.  And what the machine refuses
(disk full, read-only) is `Unavailable`.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import aiosqlite
from tortoise.backends.base.client import ConnectionWrapper, TransactionContext
from tortoise.backends.sqlite.client import SqliteClient, SqliteTransactionContext, SqliteTransactionWrapper
from tortoise.connection import get_connections
from tortoise.exceptions import OperationalError, TransactionManagementError

from app.errors import Unavailable
from app.storage.engines.nested import SettledNestedContext
from app.storage.engines.settling import Hooked, passing_hook, settle

#: What SQLite says when the machine, not the statement, is at fault; and what we say.
REFUSALS = {
    "database is locked": "The database is busy: another process holds it longer than we wait. Try again.",
    "disk is full": "The disk that holds the database is full. Nothing was changed; free some space.",
    "disk I/O error": "The disk that holds the database cannot be written or read. Nothing was changed.",
    "readonly database": "The database is read-only. Make its file and its directory writable.",
    "file is not a database": "The database file is not one. Restore it from a backup, or name another.",
    "malformed": "The database file is damaged. Restore it from a backup.",
    "unable to open": "The database cannot be opened. Its directory must exist and belong to our user.",
}


class Connection(ConnectionWrapper[aiosqlite.Connection]):
    """The client's one connection, for one statement.

    A cancelled statement still runs in its thread, so the lock is kept until it has ended: otherwise the next
    statement would count its changes as its own.
    """

    async def __aenter__(self) -> aiosqlite.Connection:
        await self._lock.acquire()
        if cast(object, self.connection) is None:
            try:
                await settle(self.ensure_connection())
            except BaseException:
                self._lock.release()
                raise
        return self.connection

    async def __aexit__(self, exc_type: Any, exc_val: Any, exc_tb: Any) -> None:
        try:
            if exc_type is not None and issubclass(exc_type, asyncio.CancelledError):
                await settle(thread_idle(self.connection))
        finally:
            self._lock.release()
        if isinstance(exc_val, sqlite3.DatabaseError) and (sentence := refusal(exc_val)):
            raise sentence from exc_val


class Client(Hooked, SqliteClient):
    def acquire_connection(self) -> Any:
        return Connection(self._lock, self)

    def _in_transaction(self) -> TransactionContext:
        return Transaction(TransactionClient(self), self._lock)

    async def create_connection(self, with_db: bool) -> None:
        """Open the file with every pragma in force, or leave nothing: neither half a connection nor a thread."""
        if self._connection:
            return
        connection = aiosqlite.connect(self.filename, isolation_level=None)
        try:
            with refusals():
                await connection
                connection._conn.row_factory = sqlite3.Row
                for pragma, value in self.pragmas.items():
                    await connection.execute_fetchall(f"PRAGMA {pragma}={value}")
        except BaseException:
            await connection.close()
            await asyncio.to_thread(connection._thread.join)
            raise
        self._connection = connection
        await self._post_connect()

    async def close(self) -> None:
        await settle(super().close())

    async def execute_many(self, query: str, values: list[list[Any]]) -> None:
        async with self._in_transaction() as client:
            await client.execute_many(query, values)


class TransactionClient(Hooked, SqliteTransactionWrapper):
    """What statements of a transaction run on, from BEGIN to the end; afterwards it refuses."""

    def _in_transaction(self) -> TransactionContext:
        return SettledNestedContext(TransactionClient(cast(SqliteClient, self)))

    def acquire_connection(self) -> Any:
        if self._finalized:
            raise TransactionManagementError(
                "This transaction has ended. A task started inside a transaction must not outlive it."
            )
        return Connection(self._lock, self)

    async def execute_script(self, query: str) -> None:
        for statement in statements(query):
            await self.execute_query(statement)

    async def begin(self) -> None:
        await passing_hook("BEGIN IMMEDIATE")
        with refusals():
            await self._connection.execute("BEGIN IMMEDIATE")

    async def commit(self) -> None:
        await passing_hook("COMMIT")
        with refusals():
            await super().commit()
        await passing_hook("COMMITTED")

    async def undo_savepoint(self) -> None:
        if self._savepoint is None:
            return
        name, self._savepoint = self._savepoint, None
        await self._connection.execute(f"ROLLBACK TO {name}")
        await self._connection.execute(f"RELEASE {name}")

    async def savepoint(self) -> None:
        await passing_hook("SAVEPOINT")
        await super().savepoint()


class Transaction(SqliteTransactionContext):
    """Holds the client's lock from BEGIN to the end.

    When a block that has finished is cancelled during its COMMIT, the commit is done nevertheless.
    """

    async def __aenter__(self) -> Any:
        await self._trxlock.acquire()
        try:
            await settle(self._open())
            self.token = get_connections().set(self.connection_name, self.connection)
        except BaseException:
            try:
                await settle(self._abandon())
            finally:
                self._trxlock.release()
            raise
        return self.connection

    async def __aexit__(self, exc_type: Any, exc_val: Any, exc_tb: Any) -> None:
        try:
            await settle(self._finish(failed=exc_type is not None))
        finally:
            self._trxlock.release()
            get_connections().reset(self.token)

    async def _open(self) -> None:
        await self.ensure_connection()
        await self.connection.begin()

    async def _finish(self, *, failed: bool) -> None:
        if self.connection._finalized:
            return
        if failed:
            await self._abandon()
            return
        try:
            await self.connection.commit()
        except BaseException:
            await self._abandon()
            raise

    async def _abandon(self) -> None:
        """Leave nothing open.  A connection that will not even roll back is closed; the next use opens
        another."""
        self.connection._finalized = True
        if not self.connection._connection:
            return
        try:
            await self.connection._connection.rollback()
        except (sqlite3.Error, ValueError):
            await self.connection._parent.close()


async def thread_idle(connection: Any) -> None:
    """Wait until the connection's thread has done all it was given."""
    try:
        await connection._execute(lambda: None)
    except ValueError:  # closed meanwhile: there is nothing left to wait for
        return


@contextmanager
def refusals() -> Iterator[None]:
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise refusal(error) or OperationalError(error) from error


def refusal(error: Exception) -> Unavailable | None:
    text = str(error)
    return next((Unavailable(sentence) for phrase, sentence in REFUSALS.items() if phrase in text), None)


def statements(script: str) -> Iterator[str]:
    """The statements of *script*.  Semicolons in strings, comments and triggers do not end one."""
    statement = ""
    for part in script.split(";"):
        statement += part + ";"
        if sqlite3.complete_statement(statement):
            if statement.strip(" \n\t;"):
                yield statement.strip()
            statement = ""
    if statement.strip(" \n\t;"):
        yield statement.strip()


client_class = Client

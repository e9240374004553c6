"""PostgreSQL, safe against cancellation.

Differs from Tortoise's own engine in two things: a task cancelled while it enters or leaves a transaction
loses no connection of the pool, and a server that is away is `Unavailable`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import asyncpg
from tortoise.backends.asyncpg.client import AsyncpgDBClient, TransactionWrapper
from tortoise.backends.base.client import TransactionContext, TransactionContextPooled
from tortoise.connection import get_connections
from tortoise.exceptions import TransactionManagementError

from app.errors import Unavailable
from app.storage.engines.nested import SettledNestedContext
from app.storage.engines.settling import Hooked, passing_hook, settle

AWAY = (
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.InsufficientResourcesError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    OSError,
    TimeoutError,
    # A connection that was lost while it was in use: its protocol is left in the middle of an operation.
    asyncpg.InternalClientError,
)
#: In what a connection of the pool says that is of no use any more: it, or the pool, is closed; it was lost, and the
#: pool took it back from whoever used it.
OF_NO_USE = ("clos", "released back to the pool")


@contextmanager
def translated() -> Iterator[None]:
    """What the server or the way to it refuses becomes a sentence of ours."""
    try:
        yield
    except AWAY as error:
        raise unavailable(error) from error
    except asyncpg.InterfaceError as error:
        if any(words in str(error) for words in OF_NO_USE):
            raise unavailable(error) from error
        raise


class Translating:
    """Put before a client class: its statements are `translated`."""

    async def _translate_exceptions(self, func: Any, *args: Any, **kwargs: Any) -> Any:
        with translated():
            return await super()._translate_exceptions(func, *args, **kwargs)  # type: ignore[misc]


class Client(Hooked, Translating, AsyncpgDBClient):
    def _in_transaction(self) -> TransactionContext:
        return Transaction(TransactionClient(self), self._pool_init_lock)

    async def create_connection(self, with_db: bool) -> None:
        with translated():
            await super().create_connection(with_db)

    async def close(self) -> None:
        await settle(super().close())


class TransactionClient(Hooked, Translating, TransactionWrapper):
    """What statements of a transaction run on, from BEGIN to the end; afterwards it refuses."""

    def _in_transaction(self) -> TransactionContext:
        return SettledNestedContext(TransactionClient(cast(AsyncpgDBClient, self)))

    def acquire_connection(self) -> Any:
        if self._finalized:
            raise TransactionManagementError(
                "This transaction has ended. A task started inside a transaction must not outlive it."
            )
        return super().acquire_connection()

    async def begin(self) -> None:
        await passing_hook("BEGIN")
        await self._start()

    async def _start(self) -> None:
        transaction = self._connection.transaction()
        await transaction.start()
        self.transaction = transaction

    async def commit(self) -> None:
        await passing_hook("COMMIT")
        await super().commit()
        await passing_hook("COMMITTED")

    async def savepoint(self) -> None:
        await passing_hook("SAVEPOINT")
        await self._start()

    async def release_savepoint(self) -> None:
        await super().commit()

    async def undo_savepoint(self) -> None:
        if self.transaction is not None and not self._finalized:
            await self.rollback()


class Transaction(TransactionContextPooled):
    """One connection of the pool from BEGIN to the end.

    When a block that has finished is cancelled during its COMMIT, the commit is done nevertheless.
    """

    client: Any

    async def __aenter__(self) -> Any:
        with translated():
            await self.ensure_connection()
            self.client._connection = await self.client._parent._pool.acquire()
            try:
                await settle(self.client.begin())
                self.token = get_connections().set(self.connection_name, self.client)
            except BaseException:
                await settle(self._abandon())
                raise
        return self.client

    async def __aexit__(self, exc_type: Any, exc_val: Any, exc_tb: Any) -> None:
        try:
            with translated():
                await settle(self._finish(failed=exc_type is not None))
        finally:
            get_connections().reset(self.token)

    async def _finish(self, *, failed: bool) -> None:
        if self.client._finalized:
            await self._release()
        elif failed:
            await self._abandon()
        else:
            try:
                await self.client.commit()
            except BaseException:
                await self._abandon()
                raise
            await self._release()

    async def _abandon(self) -> None:
        """Roll back if that is possible; a connection that will not is dropped, and the pool opens
        another."""
        self.client._finalized = True
        connection = self.client._connection
        try:
            if self.client.transaction is not None and connection.is_in_transaction():
                await self.client.transaction.rollback()
        except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError):
            _drop(connection)
        finally:
            await self._release()

    async def _release(self) -> None:
        if self.client._parent._pool:
            await self.client._parent._pool.release(self.client._connection)


def _drop(connection: Any) -> None:
    try:
        connection.terminate()
    except asyncpg.InterfaceError:
        return  # the server ended it, and the pool took it back at once


def unavailable(error: BaseException) -> Unavailable:
    if isinstance(error, (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)):
        return Unavailable("Two changes were in each other's way in the database. Nothing was changed; try again.")
    if isinstance(error, asyncpg.ReadOnlySQLTransactionError):
        return Unavailable("The database is read-only. Point STATEROOM_DATABASE_URL at the primary server.")
    if isinstance(error, asyncpg.InsufficientResourcesError):
        return Unavailable(f"The database server has no room left: {error.args[0] if error.args else error}.")
    return Unavailable("The database does not answer. Check that PostgreSQL runs and STATEROOM_DATABASE_URL is right.")


client_class = Client

"""A transaction inside a transaction: a savepoint, left as it should be even when cancelled."""

from __future__ import annotations

from typing import Any, Protocol

from tortoise.backends.base.client import TransactionContext

from app.storage.engines.settling import settle


class SavepointClient(Protocol):
    connection_name: str

    async def savepoint(self) -> None: ...

    async def release_savepoint(self) -> None: ...

    async def undo_savepoint(self) -> None:
        """Go back to the savepoint and forget it; nothing, if it was never reached."""


class SettledNestedContext(TransactionContext):
    """Statements inside go to the outer client, so an inner block needs no connection of its own."""

    client: Any

    def __init__(self, client: SavepointClient) -> None:
        self.client = client
        self.connection_name = client.connection_name

    async def __aenter__(self) -> Any:
        try:
            await settle(self.client.savepoint())
        except BaseException:
            await settle(self.client.undo_savepoint())
            raise
        return self.client

    async def __aexit__(self, exc_type: Any, exc_val: Any, exc_tb: Any) -> None:
        if exc_type:
            await settle(self.client.undo_savepoint())
        else:
            await settle(self.client.release_savepoint())

"""A database with this version's schema, made without a server."""

from __future__ import annotations

import asyncio
import threading

from app import settings as settings_module
from app.storage import database, migrating


def migrated(url: str) -> None:
    """Fill the database at *url*, from a thread of its own: the test's loop is busy with the test."""
    failed: list[BaseException] = []

    def work() -> None:
        try:
            asyncio.run(_migrate(url))
        except BaseException as problem:
            failed.append(problem)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]


async def _migrate(url: str) -> None:
    settings = settings_module.Settings(database_url=url)  # type: ignore[arg-type]
    async with database.connected(settings):
        await migrating.migrate(settings)

"""The database and the keys, open for the length of one command."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from app.errors import StateroomError

if TYPE_CHECKING:
    from app.settings import Settings

T = TypeVar("T")


@asynccontextmanager
async def opened(settings: Settings, *, migrating_first: bool = False) -> AsyncIterator[None]:
    """Open what actions on people and organizations need: database and keys.  Nobody listens: no run moves here."""
    from app.storage import database, keys, migrating

    async with database.connected(settings):
        await (migrating.migrate if migrating_first else migrating.check)(settings)
        await keys.open_ring(settings)
        yield


def settings_for(data: Path | None) -> Settings:
    """The settings, with the data directory that `--data` names."""
    from app.settings import load

    return load(data_dir=data) if data else load()


def settings_as_started(data: Path | None) -> Settings:
    """Likewise, with the address that the last `stateroom up` there had by its options."""
    from app.cli import client_files
    from app.settings import load

    settings = settings_for(data)
    told = client_files.read_url(settings.data_dir)
    return load(data_dir=settings.data_dir, external_url=told) if told else settings


def run(data: Path | None, work: Coroutine[Any, Any, T]) -> T:
    """Carry *work* out on the installation in *data*, which must be there already."""
    return run_with(settings_for(data), work)


def run_with(settings: Settings, work: Coroutine[Any, Any, T]) -> T:
    """Likewise, with *settings* that were read already and are the current ones."""

    async def inside() -> T:
        async with opened(settings):
            return await work

    try:
        _require_installation(settings)
        return asyncio.run(inside())
    finally:
        work.close()  # if it was not reached, nobody is to complain that it was not awaited


def _require_installation(settings: Settings) -> None:
    from app.storage import database

    if database.is_sqlite(settings) and not database.sqlite_path(settings).exists():
        raise StateroomError(
            f"{database.sqlite_path(settings)} is not there, so there is no installation in {settings.data_dir}.  "
            "Name the right directory with --data (or STATEROOM_DATA_DIR), or make one with `stateroom up`."
        )

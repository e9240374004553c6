"""`stateroom migrate`: bring the database to this version's schema."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from app.settings import Settings


def migrate(
    data: Annotated[Path | None, typer.Option(help="The data directory, where no URL says otherwise.")] = None,
) -> None:
    """Bring the database to the schema of this version.

    `stateroom up` does it by itself.  With `serve` and `worker` run it once for each new version, before them;
    running it again, or twice at the same time, does no harm.
    """
    import asyncio

    from app.cli import opening

    applied = asyncio.run(_migrate(opening.settings_for(data)))
    if not applied:
        typer.echo("The database is up to date.")


async def _migrate(settings: Settings) -> list[str]:
    from app.storage import database, migrating

    async with database.connected(settings):
        return await migrating.migrate(settings, applying=lambda name: typer.echo(f"applying {name}"))

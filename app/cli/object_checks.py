"""`stateroom doctor --objects`: what lies in the object store and nothing names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer

from app.wording import counted

#: How many are named to people; `--json` names all.
SHOWN = 20


def check(data: Path | None, as_json: bool) -> int:
    """Tell what was found.  Always 0: such objects keep nothing from working."""
    from app.cli import opening

    found = opening.run(data, _examine(opening.settings_for(data)))
    if as_json:
        typer.echo(json.dumps(found, indent=2))
    elif not found:
        typer.echo("ok    Every object older than two days is named by a row.")
    else:
        typer.echo(
            f"note  {counted(len(found), 'object')} ({sum(one['size'] for one in found)} bytes) that no row names:"
        )
        for one in found[:SHOWN]:
            typer.echo(f"      {one['name']}  {one['size']} bytes  {one['written-at']}")
        if len(found) > SHOWN:
            typer.echo(f"      and {len(found) - SHOWN} more; --json names them")
        typer.echo("      → A crash left them, and no key opens them. If this is the right database, delete them.")
    return 0


async def _examine(settings: Any) -> list[dict[str, Any]]:
    from datetime import UTC, datetime

    from app import clock
    from app.storage import objects

    objects.connect(settings)
    try:
        return [
            {
                "name": one.name,
                "size": one.size,
                "written-at": clock.wire(datetime.fromtimestamp(one.written_at, UTC)),
            }
            async for one in objects.nameless()
        ]
    finally:
        objects.close()

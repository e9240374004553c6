"""`stateroom doctor --state`: whether the stored states are what was stored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer

from app.errors import NotFound
from app.wording import counted


def check(data: Path | None, named: str | None, as_json: bool) -> int:
    """Tell what was found in each workspace.  1 if one of them has a version that does not fit."""
    from app.cli import opening

    found = opening.run(data, _examine(opening.settings_for(data), named))
    if as_json:
        typer.echo(json.dumps(found, indent=2))
    else:
        for one in found:
            _print(one)
        typer.echo(_summed_up(found))
    return 1 if any(one["misfit"] for one in found) else 0


async def _examine(settings: Any, named: str | None) -> list[dict[str, Any]]:
    from dataclasses import asdict

    from app.states import verification
    from app.storage import objects

    objects.connect(settings)
    try:
        return [
            {"workspace": f"{workspace.organization.name}/{workspace.name}", "id": workspace.id}
            | asdict(await verification.verify(workspace))
            for workspace in await _workspaces(named)
        ]
    finally:
        objects.close()


async def _workspaces(named: str | None) -> list[Any]:
    from app.workspaces.models import Workspace

    rows = Workspace.filter(deleted_at=None).select_related("organization").order_by("organization__name", "name")
    if named is None:
        return await rows
    organization, slash, name = named.partition("/")
    found = await (rows.filter(organization__name=organization, name=name) if slash else rows.filter(id=named))
    if not found:
        raise NotFound(f"There is no workspace {named}. Name it as ORGANIZATION/NAME or by its id, ws-….")
    return found


def _summed_up(found: list[dict[str, Any]]) -> str:
    versions, wrong = sum(one["versions"] for one in found), sum(bool(one["misfit"]) for one in found)
    where = counted(len(found), "workspace")
    what = "1 state version" if versions == 1 else f"{versions} state versions"
    return f"{what} of {where} checked: {f'{wrong} with one that does not fit' if wrong else 'all well'}."


def _print(one: dict[str, Any]) -> None:
    mark = "FAIL" if one["misfit"] else "ok  "
    count = one["versions"]
    typer.echo(f"{mark}  {one['workspace']}  {count} state version{'' if count == 1 else 's'}")
    if one["misfit"]:
        typer.echo(f"      {one['misfit']}: {one['problem']}")
        typer.echo("      → Restore database and objects from a backup made before, or go on from a version that fits.")

"""`stateroom org`: organizations."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Organizations, which hold workspaces and never see each other.")


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What configurations say as `organization`.")],
    owner: Annotated[str, typer.Option(help="User who is its first owner.")] = "admin",
    email: Annotated[str | None, typer.Option(help="Where mail about it goes.")] = None,
    data: Annotated[Path | None, typer.Option(help="The data directory of the installation.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object.")] = False,
) -> None:
    """Make an organization with its default project.

    \b
    stateroom org create platform --owner ines
    """
    import json

    from app.cli import opening

    made = opening.run(data, _create(name, owner, email))
    typer.echo(json.dumps(made) if as_json else f"{made['name']} is there; {owner} owns it.")


@app.command()
def delete(
    name: Annotated[str, typer.Argument(help="The organization, with all its workspaces.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    data: Annotated[Path | None, typer.Option(help="The data directory of the installation.")] = None,
) -> None:
    """Delete an organization, unless one of its runs is at work.  Its states stay in the database, its name is free.

    \b
    stateroom org delete platform
    """
    from app.cli import opening

    if not yes:
        typer.confirm(f"Delete {name} with all its workspaces, for everyone in it?", abort=True, err=True)
    opening.run(data, _delete(name))
    typer.echo(f"{name} was deleted. Runs of it that waited are ended.")


async def _delete(name: str) -> None:
    from app import organizations, wiring
    from app.access.actors import SYSTEM
    from app.runs import deletion

    wiring.connect()
    organization = await organizations.find(SYSTEM, name)
    await organizations.delete(SYSTEM, organization)
    await deletion.end_forgotten()


async def _create(name: str, owner: str, email: str | None) -> dict[str, str]:
    from app import access, organizations
    from app.access.actors import SYSTEM

    user = await access.find_user(owner)
    organization = await organizations.create(SYSTEM, name, email=email, owner=user)
    return {"name": organization.name, "external-id": organization.id, "owner": owner}

"""`stateroom user`: people."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="People: make one, or a link that signs one in.")

Data = Annotated[Path | None, typer.Option("--data", help="The data directory of the installation.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print a JSON object.")]


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="User name: letters, digits, and any of _ . @ + -")],
    email: Annotated[str | None, typer.Option(help="E-mail address.")] = None,
    org: Annotated[str | None, typer.Option(help="Make them a member of this organization.")] = None,
    site_admin: Annotated[bool, typer.Option("--site-admin", help="Let them administer the installation.")] = False,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Make a user, and print a link that signs them in once.

    \b
    stateroom user create ines --org main
    """
    from app.cli import opening

    _print(opening.run(data, _create(name, email, org, site_admin)), as_json)


@app.command()
def login_link(
    name: Annotated[str, typer.Argument(help="User name.")] = "admin",
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Print a link that signs a user in: once, within the hour.

    \b
    stateroom user login-link            for admin
    stateroom user login-link ines
    """
    from app.cli import opening

    _print(opening.run(data, _login_link(name)), as_json)


async def _create(name: str, email: str | None, org: str | None, site_admin: bool) -> dict[str, str]:
    from app import access, organizations
    from app.access.actors import SYSTEM

    organization = await organizations.find(SYSTEM, org) if org else None
    user = await access.create_user(SYSTEM, name, email=email, is_site_admin=site_admin)
    if organization is not None:
        await organizations.add_owner(SYSTEM, organization, user)
    return await _login_link(name)


async def _login_link(name: str) -> dict[str, str]:
    from app import access, settings
    from app.access.actors import SYSTEM
    from app.cli import firststart

    user = await access.find_user(name)
    link = await access.login_link(SYSTEM, user)
    url = firststart.login_url(settings.current(), link)
    return {"id": user.id, "username": user.username, "login-link": url}


def _print(found: dict[str, str], as_json: bool) -> None:
    import json

    typer.echo(json.dumps(found) if as_json else found["login-link"])

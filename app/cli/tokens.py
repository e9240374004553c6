"""`stateroom token`: API tokens."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.errors import Invalid

if TYPE_CHECKING:
    from datetime import timedelta

app = typer.Typer(no_args_is_help=True, help="API tokens of users.")


@app.callback()
def _group() -> None:
    """Keeps `create` a subcommand although it is the only one."""


@app.command()
def create(
    user: Annotated[str, typer.Option(help="Whose token it is: it may do what this user may.")] = "admin",
    description: Annotated[str, typer.Option(help="What it is for.")] = "",
    expires_in: Annotated[str | None, typer.Option(help="Life, such as 12h, 30d or 8w. [default: for ever]")] = None,
    data: Annotated[Path | None, typer.Option(help="The data directory of the installation.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object.")] = False,
) -> None:
    """Make an API token and print it.  It is shown this once.

    \b
    stateroom token create --user ines --description laptop --expires-in 30d

    In terraform's CLI configuration (~/.terraformrc):

    \b
    credentials "localhost:8443" {
      token = "…"
    }
    """
    import json

    from app.cli import opening

    made = opening.run(data, _create(user, description, _duration(expires_in) if expires_in else None))
    typer.echo(json.dumps(made) if as_json else made["token"])


async def _create(user: str, description: str, life: timedelta | None) -> dict[str, str | None]:
    from app import access, clock
    from app.access import tokens
    from app.access.actors import SYSTEM

    expires_at = clock.now() + life if life else None
    token, text = await tokens.create(SYSTEM, await access.find_user(user), description, expires_at)
    return {
        "id": token.id,
        "token": text.reveal(),
        "username": user,
        "description": description,
        "expired-at": clock.wire(expires_at) if expires_at else None,
    }


def _duration(text: str) -> timedelta:
    from datetime import timedelta

    units = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
    number, unit = text[:-1], units.get(text[-1:])
    if unit is None or not number.isdecimal() or not 0 < int(number) < 100_000:
        raise Invalid(f"--expires-in {text}: say a number and m, h, d or w, such as 30d.")
    return timedelta(**{unit: int(number)})

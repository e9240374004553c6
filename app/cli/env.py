"""`stateroom env`: point this shell's terraform at the server."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from app.errors import StateroomError

#: What it prints, and the file in the data directory each names.
VARIABLES = {"TF_CLI_CONFIG_FILE": "terraformrc", "SSL_CERT_FILE": "ca-bundle.pem"}


def env(
    data: Annotated[Path | None, typer.Option(help="The data directory of `stateroom up`.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object instead.")] = False,
) -> None:
    """Print the export lines that point a shell's terraform at this server.

    \b
    eval "$(stateroom env)"
    terraform init

    TF_CLI_CONFIG_FILE replaces your own ~/.terraformrc in that shell; SSL_CERT_FILE trusts the server's
    certificate besides the system's.
    """
    found = variables(data or _default_directory())
    if as_json:
        import json

        typer.echo(json.dumps(found))
        return
    for name, value in found.items():
        typer.echo(f"export {name}={shlex.quote(value)}")


def variables(directory: Path) -> dict[str, str]:
    """What a terraform that is to use the server in *directory* needs in its environment."""
    directory = directory.expanduser().absolute()
    missing = [name for name in VARIABLES.values() if not (directory / name).is_file()]
    if "terraformrc" in missing:
        raise StateroomError(
            f"{directory} holds no terraformrc.  `stateroom up --data {shlex.quote(str(directory))}` writes it; "
            "if your server keeps its data elsewhere, name that directory with --data."
        )
    return {variable: str(directory / name) for variable, name in VARIABLES.items() if name not in missing}


def _default_directory() -> Path:
    from app.settings import load

    return load().data_dir

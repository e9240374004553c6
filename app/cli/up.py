"""`stateroom up`: everything on one machine, started and stopped together."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def up(
    data: Annotated[
        Path | None,
        typer.Option(help="Directory for everything that is kept. [default: ~/.local/share/stateroom]"),
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on. [default: 127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on. [default: 8443]")] = None,
    org: Annotated[
        str | None, typer.Option(help="Organization to make if it is not there. [default: main, at first start]")
    ] = None,
    no_tls: Annotated[bool, typer.Option("--no-tls", help="Plain HTTP; on loopback only.")] = False,
) -> None:
    """Run the whole product here: web, worker, embedded Valkey, SQLite, local files.

    The first start makes keys, database, a certificate for localhost, the user `admin` and an organization,
    and prints a link that signs your browser in.  Terraform needs nothing but

    \b
    eval "$(stateroom env)"

    in the shell you run it from.  One line, `ready https://localhost:8443`, goes to standard output once
    requests are accepted; everything else to standard error.

    Ctrl-C or SIGTERM stops everything: plans go back to the queue, a running apply is waited for; a second
    one interrupts the apply, and its state is saved.  Started again on the same directory, it goes on where
    it was.

    With STATEROOM_DATABASE_URL, STATEROOM_REDIS_URL or STATEROOM_OBJECTS_URL set, those parts are used
    instead of the embedded ones.
    """
    from app.cli import installation, saying
    from app.settings import load

    chosen = {"data_dir": data, "host": host, "port": port, "tls": False if no_tls else None}
    settings = load(**{name: value for name, value in chosen.items() if value is not None})
    saying.name_misspelt(settings.log_format)
    raise typer.Exit(installation.run(settings, org))

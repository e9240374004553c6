"""`stateroom serve`: the web process."""

from __future__ import annotations

import os
from typing import Annotated

import typer


def serve(
    listen_fd: Annotated[int | None, typer.Option(hidden=True)] = None,
    ready_fd: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> None:
    """Serve the API and the pages, nothing else.

    One of the parts of a larger installation: give it, and each `stateroom worker`, the same database, queue
    and object store (STATEROOM_DATABASE_URL, STATEROOM_REDIS_URL, STATEROOM_OBJECTS_URL) and the same
    keys (STATEROOM_KEYS_FILE).  Run `stateroom migrate` before, once for each new version.

    \b
    STATEROOM_HOST=0.0.0.0 STATEROOM_TLS_CERTIFICATE=… STATEROOM_TLS_KEY=… stateroom serve
    STATEROOM_BEHIND_PROXY=true STATEROOM_EXTERNAL_URL=https://tfe.example.com stateroom serve
    """
    from app.cli import saying, web_server
    from app.settings import load

    settings = load()
    saying.name_misspelt(settings.log_format)
    web_server.run(settings, listen_fd=listen_fd, ready_fd=ready_fd)


def announce(ready_fd: int) -> None:
    """Tell whoever started us that requests are accepted."""
    os.write(ready_fd, b"1")

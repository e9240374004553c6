"""The command `stateroom`, run as a shell would."""

from __future__ import annotations

import os
import subprocess

from app.cli import processes

LONG = 60.0


def environment(**settings: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("STATEROOM_")}
    return {**inherited, **processes.python_path(), **settings}


def stateroom(*arguments: str, before: tuple[str, ...] = (), **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*before, *processes.COMMAND, *arguments],
        env=environment(**settings),
        capture_output=True,
        text=True,
        timeout=LONG,
        check=False,
    )

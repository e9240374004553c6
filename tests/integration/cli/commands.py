"""The command `stateroom`, run as a shell would."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence

from app.cli import processes

LONG = 60.0


def environment(**settings: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("STATEROOM_")}
    return {**inherited, **processes.python_path(), **settings}


def stateroom(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return run([*processes.COMMAND, *arguments], **settings)


def run(argv: Sequence[str], **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        argv,
        env=environment(**settings),
        capture_output=True,
        text=True,
        timeout=LONG,
        check=False,
    )

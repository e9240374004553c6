"""A client without Stateroom: the same resources, the state in a file beside them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.clients.clients import Client, Limit
from tests.clients.walk import lay, resources, unmarked
from tests.providers import installing

WITHIN = 120


def ends_with(client: Client, limit: Limit, directory: Path) -> str:
    """What the last of the limit's commands says in the new *directory*."""
    directory.mkdir()
    lay(client, directory)
    if client.numbers < (0, 13, 0):  # for the newest
        installing.put_null_into(directory / "terraform.d/plugins")
    (directory / "main.tf").write_text(resources(client))
    said = ""
    for command in ("init -input=false -no-color", *limit.alone):
        is_newest, words = command.startswith("newest "), command.removeprefix("newest ").split()
        said = _run("terraform" if is_newest else str(client.program()), words, directory)
    return unmarked(said)


def _run(program: str, arguments: list[str], directory: Path) -> str:
    ended = subprocess.run(
        [program, *arguments],
        cwd=directory,
        env={"PATH": os.environ["PATH"], "HOME": str(directory), "CHECKPOINT_DISABLE": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=WITHIN,
        check=False,
    )
    return ended.stdout + ended.stderr

"""Terraform's local state file, read while terraform may be writing it.

Terraform writes in place: empties the file, writes it, syncs it.  In a busy apply it is torn most of the time.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from app.supervisor.collect import Refused, open_inside, read_inside
from app.supervisor.control import JOURNAL
from app.supervisor.spec import GiB

LONGEST = 1 * GiB
_TRIES = 4
_BETWEEN = 0.001
_SERIAL = re.compile(rb'\{\s*"version": \d+,\s*"terraform_version": "[^"]*",\s*"serial": (\d+),\s*"lineage": "([^"]*)"')


class Unreadable(Exception):
    """The bytes are not a whole state; says why, to go on where a colon ends."""


@dataclass(frozen=True)
class State:
    """The bytes of a state, and what must be known to save it."""

    data: bytes
    serial: int
    lineage: str

    @cached_property
    def md5(self) -> str:
        return hashlib.md5(self.data, usedforsecurity=False).hexdigest()

    @classmethod
    def parse(cls, data: bytes) -> State:
        """The state that *data* is, or `Unreadable`.

        Terraform indents, so only the last brace of all stands alone on its line: with the usual beginning that is
        enough, and large states need not be taken apart.
        """
        if (head := _SERIAL.match(data[:1024])) and data.endswith(b"\n}\n"):
            return cls(data, int(head[1]), head[2].decode())
        try:
            document = json.loads(data)
            return cls(data, int(document["serial"]), str(document.get("lineage", "")))
        except (json.JSONDecodeError, UnicodeError, RecursionError):
            raise Unreadable("it is no JSON") from None
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
            raise Unreadable("it has no serial") from None


def state_path(workspace: str) -> str:
    """Where the local backend keeps the state of *workspace*, below the state directory."""
    return "default.tfstate" if workspace == "default" else f"{workspace}/terraform.tfstate"


Stamp = tuple[int, int, int]
"""What tells one version of a file from another: inode, time of change, size."""


def stamp(directory: str | Path, relative: str) -> Stamp | None:
    """Where the file stands now, without opening it; None if there is no regular file."""
    try:
        with open_inside(directory, relative) as file:
            return _stamp(file.fileno())
    except (FileNotFoundError, Refused):
        return None


def _stamp(descriptor: int) -> Stamp:
    status = os.fstat(descriptor)
    return status.st_ino, status.st_mtime_ns, status.st_size


def read_stable(directory: str | Path, relative: str, *, limit: int) -> tuple[bytes, Stamp] | None:
    """The file's bytes if they hold still and look whole; None if terraform is in the middle of writing."""
    for _ in range(_TRIES):
        try:
            with open_inside(directory, relative) as file:
                before = _stamp(file.fileno())
                data = file.read(limit + 1)
                after = _stamp(file.fileno())
        except (FileNotFoundError, Refused):
            return None
        if before == after and 0 < len(data) == before[2] <= limit and data.endswith(b"}\n"):
            return data, after
        time.sleep(_BETWEEN)
    return None


def newest_left(control: Path, directory: str, workspace: str) -> tuple[State | None, str | None]:
    """The furthest state that a supervisor without a result left, and where it lies.

    The file itself if it is whole and further than the journal, else the journal.
    """
    found: list[tuple[State, str]] = []
    for root, relative in ((str(control), JOURNAL), (directory, state_path(workspace))):
        try:
            data = read_inside(root, relative, limit=LONGEST)
            found.append((State.parse(data), os.path.join(root, relative)))
        except (FileNotFoundError, Refused, Unreadable):
            continue
    return max(found, key=lambda pair: pair[0].serial, default=(None, None))

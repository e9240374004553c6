"""A full disk: to know it, to say it, and to have kept a little room for the last words of a phase."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

MiB = 1024 * 1024
#: With less than this free, a command that failed may have failed for it.
LEAST_ROOM = 4 * MiB
#: What to do about it.
FREE = "Free some space below the worker's data directory, then start a new run."
_FULL = (errno.ENOSPC, errno.EDQUOT)


def full(error: OSError) -> str | None:
    """The sentence for people, if *error* says that a disk is full."""
    if error.errno not in _FULL:
        return None
    where = f" ({error.filename})" if error.filename else ""
    return f"The worker's disk is full{where}. {FREE}"


def is_full(path: str | Path) -> bool:
    return shutil.disk_usage(path).free < LEAST_ROOM


class Reserve:
    """A file whose room is given up when it is needed."""

    def __init__(self, path: Path, size: int) -> None:
        self._path, self._size = path, size
        self._is_there = False

    def take(self) -> None:
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, self._size)
        finally:
            os.close(descriptor)
        self._is_there = True

    def give_up(self) -> bool:
        """Whether there is more room now."""
        was_there, self._is_there = self._is_there, False
        if was_there:
            self._path.unlink(missing_ok=True)
        return was_there

"""Open what a run left behind without being led elsewhere.

A run owns its directories while it runs.  It may have put a link to `/etc/shadow` where its plan should be, or a pipe
that never ends; so nothing is opened by a path, and nothing but a regular file is read.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO


class Refused(Exception):
    """What lies there is not what it should be; says what it is."""


def open_inside(root: str | Path, relative: str) -> BinaryIO:
    """The regular file *relative* below *root*, for reading.  *root* itself must be out of the run's reach.

    Raises `FileNotFoundError`, or `Refused` if a link, a device or a pipe is in the way.
    """
    *folders, name = _components(relative)
    here = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for folder in folders:
            here = _into(here, folder, relative)
        return _regular(here, name, relative)
    finally:
        os.close(here)


def read_inside(root: str | Path, relative: str, *, limit: int) -> bytes:
    """The whole of a regular file, or `Refused` if it is longer than *limit*."""
    with open_inside(root, relative) as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise Refused(f"{relative} is longer than {limit} bytes")
    return data


def exists_inside(root: str | Path, relative: str) -> bool:
    try:
        open_inside(root, relative).close()
    except (FileNotFoundError, Refused):
        return False
    return True


def _components(relative: str) -> list[str]:
    parts = [part for part in relative.split("/") if part not in ("", ".")]
    if not parts or ".." in parts or relative.startswith("/"):
        raise Refused(f"{relative!r} is not a path inside a run's directory")
    return parts


def _into(here: int, folder: str, relative: str) -> int:
    """Exchange *here* for its *folder*."""
    try:
        there = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=here)
    except NotADirectoryError:
        raise Refused(f"{folder} on the way to {relative} is not a directory") from None
    os.close(here)
    return there


def _regular(here: int, name: str, relative: str) -> BinaryIO:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    # Asked before it is opened too, since opening a device can itself do something.
    if not stat.S_ISREG(os.stat(name, dir_fd=here, follow_symlinks=False).st_mode):
        raise Refused(f"{relative} is not a regular file")
    try:
        descriptor = os.open(name, flags, dir_fd=here)
    except OSError as error:
        raise Refused(f"{relative} cannot be opened: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Refused(f"{relative} is not a regular file")
    return os.fdopen(descriptor, "rb")

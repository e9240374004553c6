"""Files that only their owner may read, in a directory that only its owner may enter."""

from __future__ import annotations

import errno
import os
import secrets
from pathlib import Path

from app.errors import StateroomError

#: What the probe writes: more than the few blocks a "full" file system may still give away.
PROBE_BYTES = 256 * 1024


def make_directory(path: Path) -> None:
    """Make the data directory, 0700, and be sure that it can be written to."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        _probe(path)
    except OSError as error:
        raise cannot_write(path, error) from error


def cannot_write(path: Path, error: OSError) -> StateroomError:
    """The sentence for a data directory that refuses, by the reason it gives."""
    remedies = {
        errno.ENOSPC: "Free some space, or choose another directory with --data.",
        errno.EDQUOT: "Free some space, or choose another directory with --data.",
        errno.EROFS: "The file system is mounted read-only: choose another directory with --data.",
        errno.EACCES: f"Let this user (uid {os.geteuid()}) write there, or choose another with --data.",
        errno.ENOTDIR: "Something in its path is a file: choose another with --data.",
        errno.EEXIST: "That is a file: choose a directory with --data.",
    }
    remedy = remedies.get(error.errno or 0, "Choose another directory with --data.")
    return StateroomError(f"The data directory {path} cannot be written: {error.strerror or error}.  {remedy}")


def write(path: Path, content: str | bytes) -> None:
    """Put *content* there, 0600, whole or not at all; a file that already says so is left alone."""
    data = content.encode() if isinstance(content, str) else content
    if _holds(path, data):
        return
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _holds(path: Path, data: bytes) -> bool:
    try:
        return path.stat().st_mode & 0o077 == 0 and path.read_bytes() == data
    except FileNotFoundError:
        return False


def _probe(directory: Path) -> None:
    path = directory / f".probe.{secrets.token_hex(4)}"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(bytes(PROBE_BYTES))
            file.flush()
            os.fsync(file.fileno())
    finally:
        path.unlink(missing_ok=True)

"""What a plan made beside the plan file, and its apply needs: archives, generated files, modules, the lock file.

Packed from a directory the run owned, so every step goes through an open directory and no link is followed.  Unpacked
over the fresh configuration before anything runs there, the same way.  Providers are left out: `init` fetches them
again for the apply and the lock file says which they must be.
"""

from __future__ import annotations

import contextlib
import os
import stat
import tarfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from app.errors import TooLarge
from app.execution.overrides import STRAYS
from app.execution.workdir import Print, print_of

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LEFT_OUT = (".terraform/providers", ".terraform/plugins")


def pack(
    config: Path, before: Mapping[str, Print], root: str, ours: Collection[str], target: BinaryIO, limit: int
) -> int:
    """Write a tar of what is new or changed in *config* since *before* to *target*; how many entries it has.

    *root* is the root module's path in *config*; files named *ours* in it are not carried, for they hold secrets and
    are laid anew.
    """
    prefix = root.strip("/") + "/" if root.strip("/") else ""
    without = {prefix + name for name in (*ours, *STRAYS)}
    skipped = tuple(prefix + name for name in _LEFT_OUT)
    count = room = 0
    top = os.open(config, _DIRECTORY)
    try:
        with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for path, folder, name, status in _walk(top, "", skipped):
                if path in without or before.get(path) == print_of(status):
                    continue
                room += status.st_size
                if room > limit:
                    raise TooLarge(
                        f"The files the plan made in its directory are longer than {limit} bytes together, too much to"
                        " be carried to the apply (STATEROOM_MAX_ARCHIVE_UNPACKED). Write large files to /tmp.",
                        limit=limit,
                    )
                count += _add(archive, path, folder, name, status)
    finally:
        os.close(top)
    return count


def _walk(folder: int, prefix: str, skipped: Collection[str]) -> Iterator[tuple[str, int, str, os.stat_result]]:
    for name in sorted(os.listdir(folder)):
        path = prefix + name
        try:
            status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            continue
        if not stat.S_ISDIR(status.st_mode):
            yield path, folder, name, status
        elif path not in skipped:
            inner = os.open(name, _DIRECTORY, dir_fd=folder)
            try:
                yield from _walk(inner, path + "/", skipped)
            finally:
                os.close(inner)


def _add(archive: tarfile.TarFile, path: str, folder: int, name: str, status: os.stat_result) -> int:
    entry = tarfile.TarInfo(path)
    entry.mode, entry.mtime = stat.S_IMODE(status.st_mode) & 0o777, int(status.st_mtime)
    if stat.S_ISLNK(status.st_mode):
        entry.type, entry.linkname = tarfile.SYMTYPE, os.readlink(name, dir_fd=folder)
        archive.addfile(entry)
        return 1
    if not stat.S_ISREG(status.st_mode):
        return 0
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            return 0
        entry.size = found.st_size
        archive.addfile(entry, file)
    return 1


def names(source: BinaryIO, root: str) -> list[str]:
    """The names of carried files that will lie in the root module itself."""
    prefix = root.strip("/") + "/" if root.strip("/") else ""
    with tarfile.open(fileobj=source, mode="r:") as archive:
        paths = [entry.name for entry in archive if entry.name.startswith(prefix)]
    source.seek(0)
    return [path[len(prefix) :] for path in paths if "/" not in path[len(prefix) :]]


def lay(source: BinaryIO, config: Path) -> None:
    """Put the carried files over the unpacked configuration; a directory there is never replaced by something else."""
    top = os.open(config, _DIRECTORY)
    try:
        with tarfile.open(fileobj=source, mode="r:") as archive:
            for entry in archive:
                *folders, name = entry.name.split("/")
                with _inside(top, folders) as folder:
                    _put(archive, entry, folder, name)
    finally:
        os.close(top)


@contextlib.contextmanager
def _inside(top: int, folders: list[str]) -> Iterator[int]:
    here = os.dup(top)
    try:
        for name in folders:
            _forget(here, name)
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, 0o755, dir_fd=here)
            there = os.open(name, _DIRECTORY, dir_fd=here)
            os.close(here)
            here = there
        yield here
    finally:
        os.close(here)


def _forget(folder: int, name: str) -> bool:
    """Unlink *name* unless it is a directory; False if it is one."""
    try:
        if stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            return False
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        pass
    return True


def _put(archive: tarfile.TarFile, entry: tarfile.TarInfo, folder: int, name: str) -> None:
    if name in ("", ".", "..") or not _forget(folder, name):
        return
    if entry.issym():
        os.symlink(entry.linkname, name, dir_fd=folder)
        return
    content = archive.extractfile(entry)
    if content is None:
        return
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(name, flags, entry.mode | 0o600, dir_fd=folder), "wb") as file:
        while chunk := content.read(1 << 20):
            file.write(chunk)

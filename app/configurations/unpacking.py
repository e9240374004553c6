"""Writes what an archive holds below one directory, and nowhere else.

Every step goes from an open directory to a name in it and follows no link, so not even a process that
renames and links things there meanwhile makes it write outside.
"""

from __future__ import annotations

import os
from io import BufferedWriter
from pathlib import Path
from types import TracebackType
from typing import Self

from app.configurations.tar_stream import Write

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Visitor:
    """Gets what an archive holds, checked, in the archive's order.  This one does nothing with it."""

    def directory(self, path: tuple[str, ...], mode: int) -> None:
        """A directory; those above it may not have been named."""

    def file(self, path: tuple[str, ...], mode: int, size: int) -> Write:
        """A file of *size* bytes begins; what is returned gets its content."""
        return len

    def end_of_file(self) -> None:
        """The content of the file that began last is complete."""

    def link(self, path: tuple[str, ...], target: str) -> None:
        """A symbolic link."""

    def hard_link(self, path: tuple[str, ...], source: tuple[str, ...]) -> None:
        """A second name for a file that came before."""


class Unpacker(Visitor):
    """Permission bits are kept, except that the owner can read everything and enter every directory."""

    def __init__(self, directory: Path, uid: int | None = None) -> None:
        self._root = os.open(directory, _DIRECTORY)
        self._uid = uid
        self._near: tuple[tuple[str, ...], int] = ((), self._root)  # the directory used last, still open
        self._file: BufferedWriter | None = None
        self._mode = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        if self._file:
            self._file.close()
        self._leave()
        os.close(self._root)

    def directory(self, path: tuple[str, ...], mode: int) -> None:
        os.fchmod(self._enter(path), mode | 0o700)

    def file(self, path: tuple[str, ...], mode: int, size: int) -> Write:
        self._file = os.fdopen(os.open(path[-1], _NEW_FILE, 0o600, dir_fd=self._enter(path[:-1])), "wb")
        self._mode = mode | 0o400
        return self._file.write

    def end_of_file(self) -> None:
        assert self._file
        with self._file as file:
            os.fchmod(file.fileno(), self._mode)
            self._own(file.fileno())
        self._file = None

    def link(self, path: tuple[str, ...], target: str) -> None:
        parent = self._enter(path[:-1])
        os.symlink(target, path[-1], dir_fd=parent)
        if self._uid is not None:
            os.chown(path[-1], self._uid, self._uid, dir_fd=parent, follow_symlinks=False)

    def hard_link(self, path: tuple[str, ...], source: tuple[str, ...]) -> None:
        held = os.dup(self._enter(source[:-1]))
        try:
            parent = self._enter(path[:-1])
            os.link(source[-1], path[-1], src_dir_fd=held, dst_dir_fd=parent, follow_symlinks=False)
        finally:
            os.close(held)

    def _enter(self, path: tuple[str, ...]) -> int:
        """Open the directory *path*, made where it is missing."""
        if self._near[0] == path:
            return self._near[1]
        self._leave()
        at = self._root
        for name in path:
            try:
                below = self._step(at, name)
            finally:
                if at != self._root:
                    os.close(at)
            at = below
        self._near = (path, at)
        return at

    def _step(self, at: int, name: str) -> int:
        try:
            os.mkdir(name, 0o755, dir_fd=at)
        except FileExistsError:
            return os.open(name, _DIRECTORY, dir_fd=at)
        made = os.open(name, _DIRECTORY, dir_fd=at)
        os.fchmod(made, 0o755)  # whatever the umask says
        self._own(made)
        return made

    def _own(self, descriptor: int) -> None:
        if self._uid is not None:
            os.fchown(descriptor, self._uid, self._uid)

    def _leave(self) -> None:
        path, descriptor = self._near
        if path:
            os.close(descriptor)
        self._near = ((), self._root)

"""When a program was started, seen from outside and without asking anybody.

The kernel tells who watches a file when it is opened, and starting a program opens it: also inside a sandbox,
which binds the same file. So a watch on the terraform binary costs the measured server nothing and needs no
privilege, where a look through the process table every few milliseconds would take a good part of a core.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

IN_OPEN = 0x20


class NothingStarted(Exception):
    """No start of the watched program was seen in time."""


class Executions:
    """The starts of one program, by the monotonic clock."""

    def __init__(self, program: Path, descriptor: int) -> None:
        self._file = os.stat(program)
        self._descriptor = descriptor
        self._starts: list[float] = []
        self._more = threading.Condition()
        self._ended = False

    def first_since(self, moment: float, limit: float = 30) -> float:
        """The first start after *moment*; waits for it."""
        with self._more:
            if not self._more.wait_for(lambda: any(start >= moment for start in self._starts), limit):
                raise NothingStarted(f"No terraform was started within {limit:.0f} s.")
            return next(start for start in self._starts if start >= moment)

    def watch(self) -> None:
        """Take the time of every start until told to end; an opening that starts nothing is left out."""
        while not self._ended:
            if not select.select([self._descriptor], [], [], 0.2)[0]:
                continue
            seen = time.monotonic()
            os.read(self._descriptor, 65536)
            if self._is_running():
                with self._more:
                    self._starts.append(seen)
                    self._more.notify_all()

    def end(self) -> None:
        self._ended = True

    def _is_running(self) -> bool:
        """Whether some process executes the file.  The opening comes just before, so look a few times."""
        for _ in range(10):
            if self._found():
                return True
            time.sleep(0.002)
        return False

    def _found(self) -> bool:
        return any(self._executes(entry.path) for entry in os.scandir("/proc") if entry.name.isdigit())

    def _executes(self, process: str) -> bool:
        try:
            executable = os.stat(f"{process}/exe")
        except OSError:  # it has ended, or is a thread of the kernel
            return False
        return os.path.samestat(executable, self._file)


@contextlib.contextmanager
def watching(program: Path) -> Iterator[Executions]:
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.inotify_init1(os.O_CLOEXEC)
    if descriptor < 0 or libc.inotify_add_watch(descriptor, os.fsencode(program), IN_OPEN) < 0:
        raise OSError(ctypes.get_errno(), f"{program} cannot be watched")
    executions = Executions(program, descriptor)
    thread = threading.Thread(target=executions.watch, daemon=True)
    thread.start()
    try:
        yield executions
    finally:
        executions.end()
        thread.join()
        os.close(descriptor)


def own_copy(program: str, directory: Path) -> Path:
    """A copy that nobody else on this machine starts, in a directory for PATH."""
    directory.mkdir()
    copy = directory / Path(program).name
    copy.write_bytes(Path(program).read_bytes())
    copy.chmod(0o755)
    return copy


def path_with(directories: Sequence[Path]) -> str:
    return os.pathsep.join([*map(str, directories), os.environ.get("PATH", os.defpath)])

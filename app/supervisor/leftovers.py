"""End what a run without a sandbox left running, wherever it hid: in a session of its own, or forked twice.

While there is a supervisor, all of it is below the supervisor, which adopts orphans.  Who comes after a dead one knows
it by what each process of a run inherits: the address of the run's CLI configuration, another for each phase.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Collection
from pathlib import Path

#: The variable of a process's environment that says to which phase it belongs.
MARK = "TF_CLI_CONFIG_FILE"
_SECONDS = 10.0
_PAUSE = 0.005

Find = Callable[[], Collection[int]]


def end_below_me(cli_config: str) -> Collection[int]:
    """End all that descends from this process or belongs to *cli_config*'s phase; what is left after all."""
    return _end(lambda: _below(os.getpid()) | _marked(cli_config))


def end_marked(cli_config: str) -> Collection[int]:
    """End all that belongs to *cli_config*'s phase, for whoever is not its parent; what is left after all."""
    return _end(lambda: _marked(cli_config))


def _end(find: Find) -> Collection[int]:
    """Kill what *find* finds until it finds nothing: what is killed may have forked meanwhile."""
    deadline = time.monotonic() + _SECONDS
    while left := find():
        _kill(left, find)
        _bury(left)
        if time.monotonic() > deadline:
            return left
        time.sleep(_PAUSE)
    return left


def _kill(pids: Collection[int], find: Find) -> None:
    """By handle, and only what is found again with the handle in hand: a pid may have become another's."""
    handles = {pid: handle for pid in pids if (handle := _handle(pid)) is not None}
    meant = find()
    for pid, handle in handles.items():
        try:
            if pid in meant:
                signal.pidfd_send_signal(handle, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass  # gone, or another user's by now: then it is found again
        finally:
            os.close(handle)


def _handle(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return None


def _bury(pids: Collection[int]) -> None:
    """Take in those of *pids* that are children of ours and have ended."""
    for pid in pids:
        try:
            os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            pass


def _below(top: int) -> set[int]:
    """Every living process that descends from *top*."""
    children: dict[int, list[int]] = {}
    for pid, parent in _living().items():
        children.setdefault(parent, []).append(pid)
    found, unseen = set[int](), [top]
    while unseen:
        below = children.get(unseen.pop(), [])
        found.update(below)
        unseen += below
    return found


def _living() -> dict[int, int]:
    """The parent of each process that has not ended."""
    found = {}
    for pid in _pids():
        fields = _read(pid, "stat").rpartition(b")")[2].split()
        if fields and fields[0] not in (b"Z", b"X"):
            found[pid] = int(fields[1])
    return found


def _marked(cli_config: str) -> set[int]:
    mark = os.fsencode(f"{MARK}={cli_config}")
    return {pid for pid in _pids() if mark in _read(pid, "environ").split(b"\0")}


def _pids() -> list[int]:
    return [int(entry) for entry in os.listdir("/proc") if entry.isdecimal()]


def _read(pid: int, name: str) -> bytes:
    """Nothing, if it is gone or another user's."""
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""

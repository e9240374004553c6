"""The control directory of a phase: what a supervisor leaves for whoever looks after it.

`sup.lock` is held for the supervisor's life, `sup.json` says who it is, `events.jsonl` what it did, `log` what the
run said, `egress.jsonl` where it connected to, `journal.json` the last good state, `result.json` how it ended;
`stderr` is empty unless the supervisor itself has a bug, `reserve` and
`reserve.last` keep room for the end of the log and for the result when the disk is full.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from app.supervisor import disk
from app.supervisor.spec import Result, Spec

LOG, POKE, EVENTS, EGRESS = "log", "poke", "events.jsonl", "egress.jsonl"
LOCK, IDENTITY, JOURNAL, RESULT = "sup.lock", "sup.json", "journal.json", "result.json"
PLAN_JSON, SCHEMAS, STDERR, RESERVE = "plan.json", "schemas.json", "stderr", "reserve"


class Taken(Exception):
    """The control directory belongs to another supervisor, alive or gone."""


@dataclass(frozen=True)
class Identity:
    """A process, in a way that no later one can be mistaken for, and what is needed when it has died."""

    pid: int
    start: int
    boot: str
    phase: str
    log_offset: int
    state_directory: str
    workspace: str

    @classmethod
    def mine(cls, spec: Spec) -> Identity:
        return cls(
            pid=os.getpid(),
            start=start_of(os.getpid()) or 0,
            boot=boot_id(),
            phase=spec.phase,
            log_offset=spec.log_offset,
            state_directory=spec.directories.state,
            workspace=spec.workspace.name,
        )

    def is_alive(self) -> bool:
        return self.boot == boot_id() and self.start == start_of(self.pid)


def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def start_of(pid: int) -> int | None:
    """When *pid* was started, in ticks since boot; None if it is gone or only waits to be reaped."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])


class ControlDirectory:
    """The supervisor's side: claimed once, for life."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.reserve = disk.Reserve(self.path / RESERVE, disk.MiB)
        self._last_reserve = disk.Reserve(self.path / f"{RESERVE}.last", disk.MiB // 4)
        self._lock: int | None = None

    def claim(self, spec: Spec) -> None:
        """Make the directory ours, or raise `Taken`: a phase is never carried out twice."""
        self._lock = os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Taken(f"{self.path} belongs to a supervisor that is alive") from None
        if (self.path / IDENTITY).exists():
            raise Taken(f"{self.path} has been used by a supervisor before")
        self.reserve.take()
        self._last_reserve.take()
        write_whole(self.path / IDENTITY, json.dumps(asdict(Identity.mine(spec))).encode(), lasting=False)

    def note(self, event: str, **details: Any) -> None:
        """Write down that *event* happened.  A full disk ends no phase for that."""
        line = json.dumps({"at": round(time.time(), 3), "event": event, **details}) + "\n"
        with contextlib.suppress(OSError), open(self.path / EVENTS, "a", opener=_private) as events:
            events.write(line)

    def finish(self, result: Result) -> None:
        """The last thing a supervisor writes, on a full disk too: without it the phase would count as lost."""
        self._last_reserve.give_up()
        write_whole(self.path / RESULT, result.encode())


def write_whole(path: Path, data: bytes, *, lasting: bool = True) -> None:
    """Put *data* at *path* so that a reader finds the old bytes or the new; if *lasting*, also after a power cut."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    with open(temporary, "wb", opener=_private) as file:
        file.write(data)
        if lasting:
            file.flush()
            os.fsync(file.fileno())
    os.replace(temporary, path)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


def identity(control: Path) -> Identity | None:
    try:
        return Identity(**json.loads((control / IDENTITY).read_bytes()))
    except (FileNotFoundError, ValueError):  # or one that a power cut left empty
        return None


def result(control: Path) -> Result | None:
    try:
        return Result.decode((control / RESULT).read_bytes())
    except FileNotFoundError:
        return None


def is_supervised(control: Path) -> bool:
    """Whether the directory's supervisor is alive; the lock is let go by the kernel, however it ended."""
    try:
        lock = os.open(control / LOCK, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False

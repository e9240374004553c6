"""Server processes that live no longer than the one that started them."""

from __future__ import annotations

import ctypes
import fcntl
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

START_WITHIN = 60.0  # a bound for hangs; each takes seconds at most
STOP_WITHIN = 20.0
PREFIX = "stateroom-tests-"
OWNER = "owner"

_libc = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1


class DoesNotStart(Exception):
    """A server the tests need does not start; they fail, since a skipped set of parts looks like a good one."""


def scratch(name: str) -> Path:
    """A directory that goes with this process: what a killed one left is removed by the next.

    Below /tmp rather than pytest's own place: any user can get here, and socket paths stay short.
    """
    for left in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        _remove_if_left(left)
    unnamed = Path(tempfile.mkdtemp(prefix=f".{PREFIX}{name}-"))
    unnamed.chmod(0o755)
    owner = os.open(unnamed / OWNER, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    fcntl.flock(owner, fcntl.LOCK_EX)  # held until this process ends
    return unnamed.rename(unnamed.with_name(unnamed.name[1:]))


def _remove_if_left(path: Path) -> None:
    try:
        if path.stat().st_uid != os.geteuid():
            return
        owner = os.open(path / OWNER, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return  # removed in the meantime
    try:
        fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    finally:
        os.close(owner)
    shutil.rmtree(path, ignore_errors=True)


def free_ports(count: int) -> list[int]:
    """Ports of the loopback interface that nobody listens on now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for listener in sockets:
            listener.bind(("127.0.0.1", 0))
        return [listener.getsockname()[1] for listener in sockets]
    finally:
        for listener in sockets:
            listener.close()


def accepts(port: int) -> bool:
    with socket.socket() as client:
        client.settimeout(1)
        return client.connect_ex(("127.0.0.1", port)) == 0


def ordinary_user() -> dict[str, Any]:
    """What makes a child of root somebody else's, as Popen's arguments; nothing for everybody else."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    raise DoesNotStart("PostgreSQL refuses to run as root, and there is no user postgres or nobody to run it as.")


class Process:
    """A server, from its start until `stop` or until the **thread** that started it ends, whatever ends it."""

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        directory: Path,
        *,
        at_death: signal.Signals = signal.SIGKILL,
        config: bytes = b"",
        **popen: Any,
    ) -> None:
        self.name = name
        self.at_death = at_death
        self.log = directory / f"{name}.log"
        parent = os.getpid()

        def tie() -> None:
            _libc.prctl(_PR_SET_PDEATHSIG, int(at_death), 0, 0, 0)
            if os.getppid() != parent:  # it died before the line above
                os._exit(1)

        with self.log.open("wb") as log:
            self.popen = subprocess.Popen(
                [str(word) for word in command],
                cwd=directory,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # an interrupted pytest stops its servers itself, in order
                preexec_fn=tie if sys.platform == "linux" else None,
                **popen,
            )
        assert self.popen.stdin is not None
        with self.popen.stdin as stdin:
            stdin.write(config)

    def wait_until(self, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_WITHIN
        while not ready():
            if self.popen.poll() is not None:
                raise DoesNotStart(f"{self.name} ended with {self.popen.returncode} at its start:\n{self._tail()}")
            if time.monotonic() > deadline:
                self.stop()
                raise DoesNotStart(f"{self.name} was not ready within {START_WITHIN:g} s:\n{self._tail()}")
            time.sleep(0.02)

    def stop(self, with_signal: signal.Signals | None = None) -> None:
        if self.popen.poll() is None:
            self.popen.send_signal(with_signal or self.at_death)
            try:
                self.popen.wait(STOP_WITHIN)
            except subprocess.TimeoutExpired:
                self.popen.kill()
                self.popen.wait()

    def crash(self) -> None:
        """Kill it, and whatever it has forked, as the kernel would; returns when the last of them is gone."""
        forked = _children(self.popen.pid)
        self.stop(signal.SIGKILL)
        for pid in forked:
            with suppress(ProcessLookupError):  # it had noticed by itself
                os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + STOP_WITHIN
        while any(_state(pid) not in "ZX" for pid in forked) and time.monotonic() < deadline:
            time.sleep(0.02)

    def _tail(self) -> str:
        return self.log.read_text(errors="replace")[-2000:]


def _children(parent: int) -> list[int]:
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]
    return [pid for pid in pids if _stat(pid)[1:2] == [str(parent)]]


def _state(pid: int) -> str:
    """One letter; X also for what is not there any more."""
    return (_stat(pid) or ["X"])[0]


def _stat(pid: int) -> list[str]:
    """State, parent and so on."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []

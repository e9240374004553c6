"""The server under measurement and the ideal one, started and stopped in the same way."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

START_LIMIT = 60.0
STOP_LIMIT = 30.0
INTERRUPT_LIMIT = 30.0


class ServerFailed(Exception):
    """A server did not come up, or did not go away."""


@dataclass(frozen=True, eq=False)
class Server:
    """A server that accepts requests, and the files it wrote for its clients."""

    url: str
    data: Path
    process: subprocess.Popen[str]
    seconds_to_ready: float

    @property
    def host(self) -> str:
        return self.url.split("://", 1)[1]

    @property
    def token(self) -> str:
        return (self.data / "admin-token").read_text().strip()

    @property
    def cli_config(self) -> Path:
        return self.data / "terraformrc"

    @property
    def ca_bundle(self) -> Path:
        return self.data / "ca-bundle.pem"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
    return port


def stateroom_command() -> list[str]:
    """How to call the product: the console script beside this interpreter, as `make setup` installs it."""
    script = Path(sys.executable).with_name("stateroom")
    if not script.exists():
        raise ServerFailed(f"{script} is not there: run `make setup`, and the bench with that environment's Python.")
    return [str(script)]


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A directory that is gone afterwards, with a short name, since data directories hold sockets."""
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as directory:
        yield Path(directory)


@contextlib.contextmanager
def stateroom(data: Path, *options: str, settings: Mapping[str, str] | None = None) -> Iterator[Server]:
    """`stateroom up` on *data* and a free port.

    The rate limit is off: a bench is one user who asks more than any person would.
    """
    environment = {"STATEROOM_API_RATE_LIMIT": "0", **(settings or {})}
    command = [*stateroom_command(), "up", "--data", str(data), "--port", str(free_port()), *options]
    with _running(command, data, environment) as server:
        yield server


@contextlib.contextmanager
def ideal(data: Path, *options: str) -> Iterator[Server]:
    """The ideal server, in a process of its own."""
    command = [sys.executable, "-m", "bench.ideal_server", "--data", str(data), *options]
    with _running(command, data, {}) as server:
        yield server


@contextlib.contextmanager
def _running(command: list[str], data: Path, environment: Mapping[str, str]) -> Iterator[Server]:
    said = data.with_name(data.name + ".stderr")
    started = time.monotonic()
    with said.open("wb") as stderr:
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            env={**os.environ, **environment},
            cwd=Path(__file__).parent.parent,
            start_new_session=True,
        )
    try:
        url = _wait_until_ready(process, said)
        yield Server(url, data, process, time.monotonic() - started)
    except BaseException:
        with contextlib.suppress(ServerFailed):  # what happened before is what matters
            _stop(process, data)
        raise
    _stop(process, data)


def _wait_until_ready(process: subprocess.Popen[str], said: Path) -> str:
    """The URL of the `ready` line.  What else the server prints is read and dropped, so it never blocks."""
    ready: queue.Queue[str] = queue.Queue()

    def listen() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("ready "):
                ready.put(line.split()[1])
        ready.put("")

    threading.Thread(target=listen, daemon=True).start()
    try:
        url = ready.get(timeout=START_LIMIT)
    except queue.Empty:
        url = ""
    if not url:
        last_words = said.read_text(errors="replace")[-2000:]
        raise ServerFailed(f"`{' '.join(process.args)}` printed no ready line. It said:\n{last_words}")  # type: ignore[arg-type]
    return url


def _stop(process: subprocess.Popen[str], data: Path) -> None:
    """Ask it to end; again, which interrupts applies it waits for; then end it, and whatever it leaves."""
    for patience in (STOP_LIMIT, INTERRUPT_LIMIT):
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience)
            return
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    left = end_those_on(data)
    raise ServerFailed(f"The server did not end after two SIGTERMs and was killed, and {left} processes with it.")


def end_those_on(data: Path) -> int:
    """Kill what still has a file of *data* open: the supervisor of an apply outlives its server on purpose.

    *data* is a directory that the bench made for itself, so nobody else's process is among them.
    """
    ended = 0
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and _has_open(entry, data):
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(entry.name), signal.SIGKILL)
                ended += 1
    return ended


def _has_open(process: Path, data: Path) -> bool:
    try:
        files = [os.readlink(file) for file in (process / "fd").iterdir()]
    except OSError:  # it has ended, or is not ours to look into
        return False
    return any(file.startswith(f"{data}/") for file in files)

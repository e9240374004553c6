"""What only one instance of `up` can have: the data directory and the port."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import time
from pathlib import Path

from app.cli import private_files
from app.errors import StateroomError

#: How long the children of an instance that was killed may take to follow it.
LEFTOVERS_SECONDS = 20.0
BACKLOG = 2048


def take(directory: Path) -> int:
    """Lock *directory* until this process ends.  Raises at once if another instance has it."""
    path = directory / "lock"
    lock = _open(path)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(lock, 32, 0).decode(errors="replace").strip() or "unknown"
        os.close(lock)
        raise StateroomError(
            f"Another stateroom (process {holder}) runs on {directory}.  Stop that one first, or choose "
            "another directory with --data."
        ) from None
    except OSError as error:
        raise private_files.cannot_write(directory, error) from error
    with contextlib.suppress(OSError):  # for people only
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    return lock


def family_lock(directory: Path) -> int:
    """A lock for children to inherit, given when the last child of an earlier instance is gone.

    After a `kill -9` of an instance its children follow, each in its own time: Valkey writes its file first.
    """
    lock = _open(directory / "family.lock")
    deadline = time.monotonic() + LEFTOVERS_SECONDS
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return lock
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise StateroomError(
                    f"A process of an earlier stateroom on {directory} is still there after "
                    f"{LEFTOVERS_SECONDS:g} s.  `fuser {directory}/family.lock` names it; end it, start again."
                ) from None
            time.sleep(0.02)


def listen(host: str, port: int) -> socket.socket:
    """The socket the web answers on.  Held here, it survives a web that is started again, unrefused."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
            listener.listen(BACKLOG)
        except BaseException:
            listener.close()
            raise
    except OSError as error:
        raise _cannot_listen(host, port, error) from error
    return listener


def _cannot_listen(host: str, port: int, error: OSError) -> StateroomError:
    remedies = {
        errno.EADDRINUSE: f"Another program listens there (`ss -ltnp sport = :{port}` names it): stop it, or "
        "choose another port with --port.",
        errno.EACCES: "Ports below 1024 belong to root: choose another with --port.",
        errno.EADDRNOTAVAIL: "This machine has no such address: choose another with --host.",
    }
    remedy = remedies.get(error.errno or 0, "Choose another address with --host and --port.")
    return StateroomError(f"Cannot listen on {host} port {port}: {error.strerror or error}.  {remedy}")


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise private_files.cannot_write(path.parent, error) from error

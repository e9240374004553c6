"""Carry what a supervisor writes into its log file over to the phase's stream, as it is written."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from app import measures
from app.supervisor.control import LOG, POKE

#: A poke may be lost (nobody was listening yet), so the file is looked at anyway.
LOOK_SECONDS = 0.25
PIECE = 64 * 1024

Sink = Callable[[bytes], Awaitable[None]]


class Poke:
    """The socket a supervisor pokes after each write.  Bound anew by whoever watches: the last one wins."""

    def __init__(self, control: Path) -> None:
        self._heard = asyncio.Event()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        directory = os.open(control, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            # A socket's path holds 107 bytes, and the control directory's own may be longer.
            address = f"/proc/self/fd/{directory}/{POKE}"
            Path(address).unlink(missing_ok=True)
            self._socket.bind(address)
        finally:
            os.close(directory)
        asyncio.get_running_loop().add_reader(self._socket, self._hear)

    def _hear(self) -> None:
        try:
            while self._socket.recv(16):
                pass
        except BlockingIOError:
            pass
        self._heard.set()

    async def wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._heard.wait()
        except TimeoutError:
            return
        self._heard.clear()

    def ring(self) -> None:
        self._heard.set()

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()


async def follow(control: Path, done: asyncio.Future[Any], sink: Sink, position: int = 0) -> int:
    """Give *sink* the log's bytes from *position* on until *done* and nothing is left.  Returns the new position."""
    poke = Poke(control)

    def ring(_: object) -> None:
        poke.ring()

    done.add_done_callback(ring)
    try:
        while True:
            was_done = done.done()
            position = await _drain(control / LOG, sink, position)
            if was_done:
                return position
            await poke.wait(LOOK_SECONDS)
    finally:
        done.remove_done_callback(ring)
        poke.close()


async def _drain(path: Path, sink: Sink, position: int) -> int:
    try:
        file = path.open("rb", buffering=0)
    except FileNotFoundError:
        return position
    with file:
        file.seek(position)
        while piece := file.read(PIECE):
            written = os.fstat(file.fileno()).st_mtime
            await sink(piece)
            measures.log_lag.observe(max(0.0, time.time() - written))
            position += len(piece)
    return position

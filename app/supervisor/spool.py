"""The log of a phase: masked, appended to a file, and a poke to whoever watches."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from app.supervisor.control import LOG, POKE
from app.supervisor.disk import Reserve
from app.supervisor.masking import Masker

MiB = 1024 * 1024
#: What is kept in memory while the disk takes nothing; most of a full disk's time somebody is making room.
BACKLOG = 8 * MiB


class Spool:
    """Bytes as they come, never decoded: a character may be split over two writes."""

    def __init__(self, control: Path, masker: Masker, *, room: int, reserve: Reserve | None = None) -> None:
        self._masker, self._reserve = masker, reserve
        self._room = room
        self._is_full = False
        self._file = os.open(control / LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._bell = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        directory = os.open(control, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        # Socket paths hold 107 bytes and a control directory's may be longer.
        self._bell_address = f"/proc/self/fd/{directory}/{POKE}"
        self._backlog = bytearray()
        self._has_gap = False
        self.length = 0
        self.trouble = ""

    @property
    def masked(self) -> int:
        return self._masker.count

    def write(self, data: bytes) -> None:
        self._append(self._masker.feed(data))

    def flush(self) -> None:
        """Let go of what the masker holds: nothing that belongs to it can follow."""
        self._append(self._masker.finish())
        self._drain()

    def end(self) -> None:
        """Let go of everything, if need be into the room that was reserved for that."""
        self.flush()
        if self._backlog and self._reserve is not None and self._reserve.give_up():
            self._drain()

    def say(self, sentence: str) -> None:
        """A line of our own."""
        self.flush()
        self.write(sentence.encode() + b"\n")
        self.flush()

    def _append(self, data: bytes) -> None:
        if not data or self._is_full:
            return
        if len(data) > self._room:
            data = _whole_characters(data[: self._room]) + self._farewell()
            self._is_full = True
        self._room -= len(data)
        if self._backlog:
            self._drain()
        if len(self._backlog) + len(data) <= BACKLOG and not self._has_gap:
            self._backlog += data
        elif not self._has_gap:
            self._has_gap = True
            self._backlog += b"\n\nPart of the log is missing here: its disk was full for too long.\n\n"
        self._drain()

    def _drain(self) -> None:
        """Write what waits.  A full disk must not end an apply: the rest waits until there is room."""
        try:
            self._write()
        except OSError as error:
            self.trouble = f"Part of the log is missing: {error.strerror}."
            return
        self.trouble = ""
        self._has_gap = False
        self._poke()

    def _write(self) -> None:
        while self._backlog:
            written = os.write(self._file, self._backlog)
            self.length += written
            del self._backlog[:written]

    def _farewell(self) -> bytes:
        return b"\n\nThis log has reached its limit. What follows is not kept; the run itself goes on.\n"

    def _poke(self) -> None:
        try:
            self._bell.sendto(b"!", self._bell_address)
        except OSError:
            pass  # nobody listens, or has heard enough: whoever watches also looks by itself


def _whole_characters(data: bytes) -> bytes:
    """*data* without the beginning of a character at its end."""
    for back in range(1, min(4, len(data)) + 1):
        byte = data[-back]
        if byte >= 0xC0:
            width = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return data if width == back else data[:-back]
        if byte < 0x80:
            return data
    return data

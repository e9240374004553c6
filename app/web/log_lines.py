"""A log as numbered lines, and how much of it a page holds.

A page shows the first lines and the last ones with a gap between, whatever the log's size; the plain text has the rest.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from markupsafe import Markup

from app.runs import logs
from app.web.ansi import STYLE, Painter

HEAD, TAIL = 200, 1000
#: In a log up to this long the lines between are counted, so that every line knows its number.
WHOLE = 4 * 1024 * 1024
_PIECE = 1024 * 1024
_HEAD_BYTES, _TAIL_BYTES = 256 * 1024, 512 * 1024
#: A longer line is broken, a shown one cut: nobody reads it, and a page must not be made of it.
LONGEST_LINE = 64 * 1024
SHOWN = 4096

_POSITION = re.compile(r"([0-9]{1,15})\.([0-9]{0,12})\.([a-z]{0,4})\.([01])")


@dataclass(frozen=True, slots=True)
class Line:
    """*number* is None where the lines before were not counted."""

    offset: int
    number: int | None
    markup: Markup
    is_cut: bool = False

    @property
    def name(self) -> str:
        return f"L{self.number}" if self.number is not None else f"B{self.offset}"


@dataclass(slots=True)
class Position:
    """How far a log was read: the offset at which the next line begins, its number, the style it begins in, and whether
    nothing follows."""

    offset: int = 0
    number: int | None = 1
    style: str = ""
    is_over: bool = False

    def __str__(self) -> str:
        number = "" if self.number is None else self.number
        return f"{self.offset}.{number}.{self.style}.{int(self.is_over)}"

    @classmethod
    def parse(cls, text: str) -> Position | None:
        """What `str` gave; None if it did not give that."""
        found = _POSITION.fullmatch(text)
        if found is None or not STYLE.fullmatch(found[3]):
            return None
        return cls(int(found[1]), int(found[2]) if found[2] else None, found[3], found[4] == "1")


class Reader:
    """Makes lines of the bytes of a log as they come, from a position on.  Only whole lines are given out, so a
    position always is where a line begins; the last one is whole when the log ends."""

    def __init__(self, position: Position) -> None:
        self.position = position
        self._painter = Painter(position.style)
        self._begun = bytearray()

    @property
    def read_to(self) -> int:
        """The offset from which bytes are wanted next."""
        return self.position.offset + len(self._begun)

    def add(self, data: bytes) -> None:
        self._begun += data

    def lines(self, most: int) -> list[Line]:
        """The next whole lines, at most that many."""
        lines: list[Line] = []
        while len(lines) < most and not self.position.is_over:
            length, ends_with = self._next_line()
            if length is None:
                break
            lines += self._take(length, ends_with)
        return lines

    def skip(self, leave: int) -> int:
        """Pass over whole lines until at most *leave* are left.  How many were passed over."""
        last = len(self._begun)
        for _ in range(leave + 1):
            last = self._begun.rfind(b"\n", 0, last)
            if last < 0:
                return 0
        count = self._begun.count(b"\n", 0, last + 1)
        self.position.offset += last + 1
        if self.position.number is not None:
            self.position.number += count
        self._painter = Painter()
        del self._begun[: last + 1]
        return count

    def skip_begun(self) -> int:
        """Pass over what is left of a line that was begun before the position.  How many lines that were."""
        at = self._begun.find(b"\n")
        self.position.offset += at + 1
        if at >= 0 and self.position.number is not None:
            self.position.number += 1
        del self._begun[: at + 1]
        return int(at >= 0)

    def _next_line(self) -> tuple[int | None, bytes]:
        """How long the first line is and what ends it; None while it is not whole."""
        at = self._begun.find(b"\n", 0, LONGEST_LINE + 1)
        if at >= 0:
            return at, b"\n"
        if len(self._begun) > LONGEST_LINE:
            return LONGEST_LINE, b""
        if self._begun.endswith(logs.CLOSED):
            return len(self._begun) - 1, logs.CLOSED
        return None, b""

    def _take(self, length: int, ends_with: bytes) -> list[Line]:
        position, raw = self.position, bytes(self._begun[:length]).lstrip(logs.OPENED)
        lines = []
        if raw or ends_with != logs.CLOSED:
            text = raw.decode("utf-8", "replace")
            lines = [Line(position.offset, position.number, self._painter.line(text[:SHOWN]), len(text) > SHOWN)]
            self._painter.line(text[SHOWN:])  # what is not shown may still change the colour of what follows
            if position.number is not None and ends_with:
                position.number += 1
        position.offset += length + len(ends_with)
        position.style, position.is_over = self._painter.style, ends_with == logs.CLOSED
        del self._begun[: length + len(ends_with)]
        return lines


@dataclass(slots=True)
class Excerpt:
    """What a page shows of a log: *head*, a gap unless *tail* follows at once, and where reading goes on."""

    head: list[Line] = field(default_factory=list)
    tail: list[Line] = field(default_factory=list)
    has_gap: bool = False
    left_out: int | None = None
    length: int = 0
    position: Position = field(default_factory=Position)


async def excerpt(phase_id: str) -> Excerpt:
    """The beginning and the end of a log, as it is now."""
    length = await logs.length(phase_id)
    reader = Reader(Position())
    reader.add(await _read(phase_id, 0, _HEAD_BYTES))
    head = reader.lines(HEAD)
    if (length := max(length, reader.read_to)) - reader.position.offset <= _TAIL_BYTES:
        reader.add(await _read(phase_id, reader.read_to, _TAIL_BYTES + _PIECE))
        left_out = reader.skip(TAIL)
        return Excerpt(head, reader.lines(TAIL + 1), left_out > 0, left_out, length, reader.position)
    between = reader.position
    start = length - _TAIL_BYTES
    counted = await _count_lines(phase_id, between.offset, start) if length <= WHOLE else None
    number = between.number + counted if between.number is not None and counted is not None else None
    reader = Reader(Position(start, number))
    reader.add(await _read(phase_id, start, _TAIL_BYTES + _PIECE))
    skipped = reader.skip(TAIL) or reader.skip_begun()
    between_them = counted + skipped if counted is not None else None
    return Excerpt(head, reader.lines(TAIL + 1), True, between_them, length, reader.position)


async def _count_lines(phase_id: str, start: int, end: int) -> int:
    count = 0
    while start < end and (data := await logs.read(phase_id, start, min(_PIECE, end - start))):
        count += data.count(b"\n")
        start += len(data)
    return count


async def _read(phase_id: str, offset: int, limit: int) -> bytes:
    """As much as there is, up to *limit*."""
    found = bytearray()
    while len(found) < limit and (data := await logs.read(phase_id, offset + len(found), limit - len(found))):
        found += data
    return bytes(found)

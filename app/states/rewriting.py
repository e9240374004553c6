"""Another serial in a state's text, and nothing else: numbers, whitespace and the order of keys stay as they are.

Reading the JSON and writing it again would change numbers that have no exact form in Python.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterable, AsyncIterator

from app.errors import Conflict

_DEEP = re.compile(rb'["{}\[\]]')
_TOP = re.compile(rb'["{}\[\],:]')
_IN_TEXT = re.compile(rb'["\\]')
_NUMBER = re.compile(rb"[-+.0-9eE]+")
_SPACE = b" \t\r\n"
_LONGEST_KEY = 16


async def with_serial(chunks: AsyncIterable[bytes], serial: int) -> AsyncIterator[bytes]:
    """The state in *chunks*, its top-level `serial` being *serial*.  Raises Conflict if it has none."""
    writer = _Writer(serial)
    async for chunk in chunks:
        yield writer.feed(chunk)
    writer.finish()


class _Writer:
    """Follows the text just far enough to know when the value of the top level's `serial` begins and ends."""

    def __init__(self, serial: int) -> None:
        self._serial = str(serial).encode()
        self._depth = 0
        self._in_text = self._escaped = False
        self._key = b""  # the last text met at the top level, no more of it than a key needs
        self._awaits_value = self._in_value = self._is_done = False

    def feed(self, chunk: bytes) -> bytes:
        done, at = bytearray(), 0
        while at < len(chunk):
            if self._is_done:
                done += chunk[at:]
                break
            if self._in_text:
                end = self._text(chunk, at)
            elif self._awaits_value or self._in_value:
                end = self._value(chunk, at, done)
                at = end
                continue
            else:
                end = self._structure(chunk, at)
            done += chunk[at:end]
            at = end
        return bytes(done)

    def finish(self) -> None:
        if not (self._is_done or self._in_value):
            raise Conflict("This state has no serial at its top level, so no later one can be written into it.")

    def _text(self, chunk: bytes, at: int) -> int:
        """To the end of the text, or of the chunk, or behind what a backslash escapes."""
        if self._escaped:
            self._escaped = False
            self._remember(chunk[at : at + 1])
            return at + 1
        found = _IN_TEXT.search(chunk, at)
        end = found.start() if found else len(chunk)
        self._remember(chunk[at:end])
        if found is None:
            return end
        if found[0] == b'"':
            self._in_text = False
        else:
            self._escaped = True
            self._remember(b"\\")
        return end + 1

    def _remember(self, piece: bytes) -> None:
        if self._depth == 1 and len(self._key) <= _LONGEST_KEY:
            self._key += piece[:_LONGEST_KEY]

    def _structure(self, chunk: bytes, at: int) -> int:
        found = (_TOP if self._depth == 1 else _DEEP).search(chunk, at)
        if found is None:
            return len(chunk)
        match found[0]:
            case b'"':
                self._in_text, self._key = True, b"" if self._depth == 1 else self._key
            case b"{" | b"[":
                self._depth += 1
            case b"}" | b"]":
                self._depth -= 1
            case b":":
                self._awaits_value = self._key == b"serial"
        return found.end()

    def _value(self, chunk: bytes, at: int, done: bytearray) -> int:
        if self._awaits_value:
            end = at
            while end < len(chunk) and chunk[end] in _SPACE:
                end += 1
            done += chunk[at:end]
            if end < len(chunk):
                self._begin_value(chunk, end, done)
            return end
        found = _NUMBER.match(chunk, at)
        end = found.end() if found else at
        self._is_done = end < len(chunk)
        return end

    def _begin_value(self, chunk: bytes, at: int, done: bytearray) -> None:
        self._awaits_value = False
        if _NUMBER.match(chunk, at):
            self._in_value = True
            done += self._serial

"""JSON seen as it streams by, refused at the first byte that makes it none.

Nothing is held but what the parser met last, so the length of a text costs no memory.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterable, AsyncIterator
from typing import Any

import ijson

from app.errors import Invalid

Event = tuple[str, Any]

LONG_NUMBER = 4000
_TWO_DIGITS = re.compile(rb"[0-9]{2}")
_LONG_NUMBER = re.compile(rb"[:,\[\s]-?[0-9]{%d}" % LONG_NUMBER)

#: How the parser's words begin where a value should be.
_NO_VALUE = ("invalid char in", "invalid string in", "malformed number")


class NotJson(Exception):
    """`why` goes on where a colon ends, and shows nothing of the text: that may be secret."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class JsonStream:
    """Feed it the bytes, and `finish` it: both give what the parser met since.  Both raise NotJson."""

    def __init__(self) -> None:
        self._met = _Events()
        self._parser = ijson.basic_parse_coro(self._met, use_float=False)
        self._has_begun = False
        self._is_empty = True
        self._before = b" "  # the end of what was fed last, so that no number hides across a border

    def feed(self, chunk: bytes) -> list[Event]:
        if not chunk:
            return []  # to the parser that would be the end
        self._is_empty = False
        self._refuse_long_numbers(chunk)
        try:
            self._parser.send(chunk)
        except ijson.JSONError as error:
            raise NotJson(self._reason(error)) from None
        except UnicodeError:
            raise NotJson("a text in it is not Unicode") from None
        return self._taken()

    def finish(self) -> list[Event]:
        try:
            self._parser.close()
        except ijson.JSONError:
            raise NotJson("it is empty" if self._is_empty else "it ends in the middle") from None
        return self._taken()

    def _taken(self) -> list[Event]:
        events = self._met.taken()
        self._has_begun = self._has_begun or bool(events)
        return events

    def _refuse_long_numbers(self, chunk: bytes) -> None:
        """The parser's C code crashes on an integer that Python would not read (more than 4300 digits).

        A run of so many digits shows in samples taken of every so many bytes, which cost nothing.
        """
        seen = self._before + chunk
        if _TWO_DIGITS.search(seen[:: LONG_NUMBER // 2]) and _LONG_NUMBER.search(seen):
            raise NotJson(f"it has a number of more than {LONG_NUMBER} digits")
        self._before = seen[-LONG_NUMBER - 2 :]

    def _reason(self, error: Exception) -> str:
        """The parser's, without the piece of the text that it shows below."""
        said = error.args[0] if error.args else ""
        text = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
        what = text.partition("\n")[0].rstrip(". ").rpartition("error: ")[2]
        if not what.startswith(_NO_VALUE):
            return f"it is no JSON ({what})" if what else "it is no JSON"
        self._taken()
        if not self._has_begun:
            return "it does not begin as JSON does"
        return "something in it is no value of JSON, which knows no NaN and no Infinity"


class _Events:
    """What the parser has met, collected without running any Python of ours for each event."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        self.send = self._events.append

    def taken(self) -> list[Event]:
        events = self._events[:]
        self._events.clear()
        return events


def require(content: bytes, field: str) -> None:
    """Raise Invalid, naming *field*, unless *content* is JSON."""
    stream = JsonStream()
    try:
        stream.feed(content)
        stream.finish()
    except NotJson as error:
        raise _refusal(error, field) from None


async def required(chunks: AsyncIterable[bytes], field: str) -> AsyncIterator[bytes]:
    """*chunks* as they come, likewise: Invalid instead of the first that is none, or of the end."""
    stream = JsonStream()
    try:
        async for chunk in chunks:
            stream.feed(chunk)
            yield chunk
        stream.finish()
    except NotJson as error:
        raise _refusal(error, field) from None


def _refusal(error: NotJson, field: str) -> Invalid:
    return Invalid(f"{field.replace('_', '-')} is not JSON: {error.why}.", field=field)

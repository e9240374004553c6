"""Terminal colours as classes of the stylesheet.

A state machine of our own: it takes a log line by line, keeps the style from one to the next, and its state is a short
text, so a stream that was cut goes on in the right colour.  What it does not know it drops; everything else is escaped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from markupsafe import Markup, escape

#: Escape sequences: CSI with its parameters, OSC and its kind up to their end, the two-character ones, and a lone ESC.
_SEQUENCE = re.compile(
    r"\x1b(?:\[([0-?]*)[ -/]*([@-~])?|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])?|\x9b([0-?]*)[ -/]*([@-~])?"
)
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]")

#: Codes of SGR that set a style, and the class of each.  Colours take one another's place.
_COLOURS = {30: "", 31: "d", 32: "a", 33: "c", 34: "b", 35: "s", 36: "k", 37: ""}
_COLOURS |= {code + 60: name for code, name in _COLOURS.items()} | {90: "q"}
_WEIGHTS = {1: "h", 3: "e", 4: "u"}
_ENDS = {21: "h", 22: "h", 23: "e", 24: "u"}
_COLOUR_CLASSES = frozenset(_COLOURS.values()) - {""}
#: A longer style is none of ours.
STYLE = re.compile(r"[abcdehkqsu]{0,4}")


class Painter:
    """Turns lines into markup.  *style* is where another painter, or this one's predecessor, stopped."""

    def __init__(self, style: str = "") -> None:
        self._colour = next((c for c in style if c in _COLOUR_CLASSES), "")
        self._weights = {c for c in style if c in _WEIGHTS.values()}

    @property
    def style(self) -> str:
        return "".join(sorted({*self._weights, *self._colour}))

    def line(self, text: str) -> Markup:
        """One line without its end.  After a carriage return it is written anew, as a terminal would."""
        pieces: list[str] = []
        for piece in self._pieces(text):
            if piece is None:
                pieces.clear()
            else:
                pieces.append(piece)
        return Markup("".join(pieces))

    def _pieces(self, text: str) -> Iterator[str | None]:
        """Marked-up runs of one style each; None for a carriage return that something follows."""
        position = 0
        text = text.rstrip("\r")
        for sequence in _SEQUENCE.finditer(text):
            yield from self._plain(text[position : sequence.start()])
            parameters, final = sequence[1] or sequence[3] or "", sequence[2] or sequence[4]
            if final == "m":
                self._select(parameters)
            position = sequence.end()
        yield from self._plain(text[position:])

    def _plain(self, text: str) -> Iterator[str | None]:
        for number, part in enumerate(text.split("\r")):
            if number:
                yield None
            shown = escape(_CONTROL.sub("", part))
            if shown:
                style = " ".join(self.style)
                yield f'<span class="{style}">{shown}</span>' if style else str(shown)

    def _select(self, parameters: str) -> None:
        codes = [int(code) if code.isdecimal() and len(code) < 4 else 0 for code in re.split("[;:]", parameters)]
        while codes:
            code = codes.pop(0)
            if code in (38, 48, 58):  # a colour by number or by its parts: passed over with what belongs to it
                del codes[: {5: 2, 2: 4}.get(codes[0], 1) if codes else 0]
            elif code == 0:
                self._colour, self._weights = "", set()
            elif code == 39:
                self._colour = ""
            elif code in _COLOURS:
                self._colour = _COLOURS[code]
            elif code in _WEIGHTS:
                self._weights.add(_WEIGHTS[code])
            elif code in _ENDS:
                self._weights.discard(_ENDS[code])

"""What people write, without what a terminal or a page would obey.

Messages, comments and reasons are shown beside those of others, in browsers and in terminals: an escape sequence could
clear a screen, a change of direction could make a sentence read as another.  Neither is anything to say.
"""

from __future__ import annotations

import re
import unicodedata

#: What a terminal obeys, whole: of a sequence without its first character the rest would stand there as text.
_SEQUENCE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"  # colours, cursor, screen
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)"  # titles, links, to their end
    r"|\x1b[ -/]*[0-~]?"
)
_KEPT = "\n\t"
#: Embeddings, overrides and isolates of the direction of writing.  Words of a right-to-left script need none of them.
_DIRECTIONS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def plain(text: str) -> str:
    """*text* without escape sequences, control characters (but for new lines and tabs) and changes of direction."""
    if text.isprintable():
        return text
    lines = _SEQUENCE.sub("", text).replace("\r\n", "\n")
    return "".join(letter for letter in lines if letter in _KEPT or not _is_obeyed(letter))


def shortened(text: str, most: int) -> str:
    """*text* if it has at most *most* characters, else its beginning, which says that it goes on."""
    return text if len(text) <= most else text[: most - 1] + "…"


def _is_obeyed(letter: str) -> bool:
    return unicodedata.category(letter) == "Cc" or letter in _DIRECTIONS

"""What of a delivery may be shown to a site admin: its shape, names and numbers, and nothing that people wrote.

A delivery should hold no secret.  People paste them into titles, messages and descriptions all the same, so a text is
told by its length alone, and of a word that looks like a credential nothing is.
"""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import urlsplit

#: Longer bodies are not looked into, and no more characters than these are shown.
LONGEST_BODY, MOST_SHOWN = 1024**2, 20_000
MOST_ITEMS, LONGEST_WORD, DEEPEST = 10, 200, 8
_SECRET_NAME = re.compile(
    r"secret|token|password|passwd|private|credential|authorization|signature|(^|_)pem$|(^|_)key$"
)
#: GitHub's own tokens and those of others who mark theirs, JSON Web Tokens, keys.
_SECRET_WORD = re.compile(
    r"gh[a-z]_[A-Za-z0-9]|github_pat_|glpat-|xox[a-z]-|(AKIA|ASIA)[A-Z0-9]|sk-[A-Za-z0-9]|eyJ[A-Za-z0-9_-]{8}|-----BEGIN"
    r"|\.atlasv1\."
)
_WORD = re.compile(r"[A-Za-z0-9_.,:;/@#+~%&=?*()\[\]{}$!^|<>-]*")


def shown(body: bytes) -> str | None:
    """The JSON of a delivery's body, redacted and cut; None if it is too long, or none."""
    if len(body) > LONGEST_BODY:
        return None
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        return None
    text = json.dumps(_redacted(told, 0), indent=2, ensure_ascii=False)
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}\n… ({len(text):,} characters)"


def _redacted(told: Any, depth: int) -> Any:
    if isinstance(told, str):
        return _text(told)
    if isinstance(told, (dict, list)) and depth == DEEPEST:
        return "…"
    if isinstance(told, dict):
        return {_name(name): _member(name, value, depth) for name, value in told.items()}
    if isinstance(told, list):
        items = [_redacted(item, depth + 1) for item in told[:MOST_ITEMS]]
        return [*items, f"… ({len(told)} in all)"] if len(told) > MOST_ITEMS else items
    return told


def _name(name: str) -> str:
    return _text(name)[:LONGEST_WORD]


def _member(name: str, value: Any, depth: int) -> Any:
    """A flag may have a suspicious name: `"private": true` is one."""
    if _SECRET_NAME.search(name.lower()) and not isinstance(value, bool | type(None)):
        return "(not shown)"
    return _redacted(value, depth + 1)


def _text(text: str) -> str:
    if _SECRET_WORD.search(text):
        return "(not shown)"
    if len(text) > LONGEST_WORD or not _WORD.fullmatch(text):
        return f"(a text of {len(text):,} characters)"
    return _address(text) if "://" in text else text


def _address(text: str) -> str:
    """Without what may let somebody in: a user, a query."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return "(not shown)"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"

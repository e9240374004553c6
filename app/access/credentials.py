"""What our tokens look like: a public beginning, the secret, a checksum.

``sruXXXXXXXXXXX.stateroom.<43 random characters><6 of checksum>``.  The beginning is kept to recognise a
token by and tells its kind; the checksum tells a typo from a stranger without asking the database, and lets
a scanner that finds one in a repository be sure of what it found.
"""

from __future__ import annotations

import re
import secrets
import string
import zlib
from enum import Enum

from app.secret import Secret

_SYMBOLS = string.digits + string.ascii_letters
_PUBLIC_LENGTH, _RANDOM_LENGTH, _CHECKSUM_LENGTH = 14, 43, 6
_SHAPE = re.compile(r"(sr[ur][0-9A-Za-z]{11})\.stateroom\.[0-9A-Za-z]{49}")


class Kind(Enum):
    USER = "sru"
    RUN = "srr"


def generate(kind: Kind) -> Secret[str]:
    public = kind.value + _random(_PUBLIC_LENGTH - len(kind.value))
    body = f"{public}.stateroom.{_random(_RANDOM_LENGTH)}"
    return Secret(body + _checksum(body))


def kind_of(text: str) -> Kind | None:
    """The kind of a well-formed token, None if *text* is none."""
    if not _SHAPE.fullmatch(text) or _checksum(text[:-_CHECKSUM_LENGTH]) != text[-_CHECKSUM_LENGTH:]:
        return None
    return Kind(text[:3])


def public_part(text: Secret[str]) -> str:
    return text.reveal()[:_PUBLIC_LENGTH]


def _random(length: int) -> str:
    return "".join(secrets.choice(_SYMBOLS) for _ in range(length))


def _checksum(body: str) -> str:
    number = zlib.crc32(body.encode())
    digits = ""
    for _ in range(_CHECKSUM_LENGTH):
        number, digit = divmod(number, len(_SYMBOLS))
        digits += _SYMBOLS[digit]
    return digits

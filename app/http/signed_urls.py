"""Addresses that need no login: whoever has one may, for a day, do the one thing it says.

What is granted, until when, and a keyed digest over both are one segment of the path.  Nothing is in the
query, which terraform replaces by its own when it reads logs; logs therefore name a route, never a path.
"""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b

from app import clock
from app.errors import NotFound
from app.secret import Secret

PATH = "/v1/object/"
LIFE = 25 * 3600

_WORD = re.compile(r"[A-Za-z0-9_-]{1,100}")
_TOKEN = re.compile(r"([A-Za-z0-9_-]{1,100})\.([A-Za-z0-9_-]{1,100})\.([0-9]{1,12})\.([A-Za-z0-9_-]{43})")


@dataclass(frozen=True)
class Grant:
    kind: str
    id: str


@dataclass(frozen=True)
class SigningKey:
    """What signs, and older keys whose signatures still count."""

    active: Secret[bytes]
    retired: tuple[Secret[bytes], ...] = ()

    def sign(self, text: str) -> str:
        return _digest(self.active, text)

    def signed(self, text: str, signature: str) -> bool:
        keys = (self.active, *self.retired)
        return any(hmac.compare_digest(_digest(key, text), signature) for key in keys)


_key: Callable[[], SigningKey] | None = None
_life: float = LIFE


def configure(key: SigningKey | Callable[[], SigningKey], *, life: float = LIFE) -> None:
    """Sign and verify with *key* from now on, or with what it gives each time; links hold for *life* seconds unless
    they say otherwise."""
    global _key, _life
    _key, _life = (lambda: key) if isinstance(key, SigningKey) else key, life


def sign(kind: str, id: str, *, base_url: str, life: float | None = None) -> str:
    """The address below *base_url* that grants *kind* (``"archive-upload"``) on *id*."""
    if not (_WORD.fullmatch(kind) and _WORD.fullmatch(id)):
        raise ValueError("kind and id of a signed URL are letters, digits, hyphens and underscores")
    expiry = int(clock.now().timestamp() + (_life if life is None else life))
    granted = f"{kind}.{id}.{expiry}"
    return f"{base_url}{PATH}{granted}.{_signing_key().sign(granted)}"


def verify(token: str) -> Grant:
    """What *token*, the path's last segment, grants.  Raises `NotFound` if it grants nothing, whatever the
    reason."""
    parts = _TOKEN.fullmatch(token)
    granted, _, signature = token.rpartition(".")
    if not parts or not _signing_key().signed(granted, signature):
        raise NotFound("This link is not one of ours, or part of it was lost on the way.")
    if int(parts[3]) < clock.now().timestamp():
        raise NotFound("This link has expired; ask for the resource again to get a fresh one.")
    return Grant(parts[1], parts[2])


def _signing_key() -> SigningKey:
    if _key is None:
        raise RuntimeError("signed_urls.configure() was not called")
    return _key()


def _digest(key: Secret[bytes], text: str) -> str:
    digest = blake2b(text.encode(), key=key.reveal(), digest_size=32, person=b"signed-url").digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()

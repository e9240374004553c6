"""Whether a delivery comes from GitHub: HMAC-SHA256 over the bytes as they came.

githubkit's own check takes SHA-1 too, works with an empty secret, and raises on a signature that is not ASCII
(`github-app.md`, trap T11 of the protocol notes), so this one is ours.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable

from app.secret import Secret

#: GitHub's header, lower-cased.
HEADER = "x-hub-signature-256"
_SIGNATURE = re.compile(r"sha256=([0-9a-f]{64})", re.ASCII)


def is_signed(body: bytes, signature: str | None, secrets: Iterable[Secret[str]]) -> bool:
    """Whether one of *secrets* made *signature*; while a secret is changed there are two.

    An empty secret signs nothing.  Every secret is tried, so that the time tells neither which one fits nor
    where a signature differs.
    """
    found = _SIGNATURE.fullmatch(signature or "")
    if found is None:
        return False
    matches = [hmac.compare_digest(found[1], _signature(body, secret)) for secret in secrets if secret]
    return any(matches)


def sign(body: bytes, secret: Secret[str]) -> str:
    """The header's value that GitHub sends with *body*."""
    return f"sha256={_signature(body, secret)}"


def _signature(body: bytes, secret: Secret[str]) -> str:
    return hmac.new(secret.reveal().encode(), body, hashlib.sha256).hexdigest()

"""Keys that outlive the ring's.

A token's digest cannot be made anew, for nobody keeps the token.  So what digests it is a key of its own, sealed like
any value: when another key becomes active it is sealed anew, tokens and sessions go on, and the old key can be dropped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.secret import Secret
from app.storage import crypto
from app.storage.models import LastingKey

if TYPE_CHECKING:
    from app.storage.keys import KeyRing

PURPOSES = ("token digests",)


async def opened(ring: KeyRing) -> dict[str, Secret[bytes]]:
    """Every lasting key by its purpose, made where it is not there yet.  *ring* must be in use."""
    return {purpose: await _opened(ring, purpose) for purpose in PURPOSES}


async def _opened(ring: KeyRing, purpose: str) -> Secret[bytes]:
    row = await LastingKey.get_or_none(purpose=purpose)
    if row is None:
        row = LastingKey(purpose=purpose)
        sealed = crypto.seal(ring.subkey(purpose), context=row.sealed_context)
        row, _ = await LastingKey.get_or_create(purpose=purpose, defaults={"sealed_key": sealed})
    return Secret(crypto.open_sealed(bytes(row.sealed_key), context=row.sealed_context))

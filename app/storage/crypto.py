"""How things are encrypted: small values in one piece, objects as a stream.

Both are bound to a context (what it is, whose it is): a value moved to another place does not open there.
"""

from __future__ import annotations

import hmac
import secrets
from hashlib import blake2b

from nacl import bindings
from nacl.exceptions import CryptoError

from app.errors import StateroomError
from app.storage import keys

VERSION = b"\x01"
NONCE = bindings.crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
DATA_KEY = 32
CHUNK = 64 * 1024
SEALED_CHUNK = CHUNK + bindings.crypto_secretstream_xchacha20poly1305_ABYTES
HEADER = bindings.crypto_secretstream_xchacha20poly1305_HEADERBYTES
FINAL = bindings.crypto_secretstream_xchacha20poly1305_TAG_FINAL
MESSAGE = bindings.crypto_secretstream_xchacha20poly1305_TAG_MESSAGE


class Damaged(StateroomError):
    """What is stored is not what was stored: cut, changed, moved, or encrypted with another key."""


def seal(plain: bytes, *, context: tuple[str, ...]) -> bytes:
    """Encrypt a small value: version, key id, nonce, then the text.  The same value seals differently each
    time."""
    ring = keys.current()
    name = ring.active.encode()
    head = VERSION + bytes([len(name)]) + name
    nonce = secrets.token_bytes(NONCE)
    bound = head + associated(context)
    key = ring.subkey("values", ring.active)
    return head + nonce + bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(plain, bound, nonce, key)


def open_sealed(sealed: bytes, *, context: tuple[str, ...]) -> bytes:
    """The value that `seal` was given, if the context is the same.  Raises Damaged."""
    head, name = _head(sealed)
    nonce, text = sealed[len(head) : len(head) + NONCE], sealed[len(head) + NONCE :]
    key = keys.current().subkey("values", name)
    try:
        return bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(text, head + associated(context), nonce, key)
    except (CryptoError, ValueError, TypeError):
        raise Damaged(f"A stored value ({' '.join(context)}) is damaged or was moved from elsewhere.") from None


def key_of(sealed: bytes) -> str:
    """The id of the key a value is sealed with: who rotates keys asks."""
    return _head(sealed)[1]


def wrap(data_key: bytes, *, context: tuple[str, ...]) -> tuple[str, bytes]:
    """Encrypt an object's own key.  Gives the id of the key used, and the wrapped key."""
    ring = keys.current()
    nonce = secrets.token_bytes(NONCE)
    key = ring.subkey("data keys", ring.active)
    text = bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(data_key, associated(context), nonce, key)
    return ring.active, nonce + text


def unwrap(key_id: str, wrapped: bytes, *, context: tuple[str, ...]) -> bytes:
    key = keys.current().subkey("data keys", key_id)
    try:
        return bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(
            wrapped[NONCE:], associated(context), wrapped[:NONCE], key
        )
    except (CryptoError, ValueError, TypeError):
        raise Damaged(f"The key of a stored object ({' '.join(context)}) is damaged.") from None


class SealingStream:
    """Encrypts what it is fed, in chunks of 64 KiB; the last one says that it is the last."""

    def __init__(self, data_key: bytes, *, context: tuple[str, ...]) -> None:
        self._state = bindings.crypto_secretstream_xchacha20poly1305_state()
        self._ready = bindings.crypto_secretstream_xchacha20poly1305_init_push(self._state, data_key)
        self._bound = associated(context)
        self._rest = b""

    def feed(self, plain: bytes) -> bytes:
        self._rest += plain
        whole = (len(self._rest) - 1) // CHUNK * CHUNK  # at least one byte stays for the final chunk
        sealed = [self._take(), *(self._push(self._rest[at : at + CHUNK]) for at in range(0, whole, CHUNK))]
        self._rest = self._rest[max(whole, 0) :]
        return b"".join(sealed)

    def finish(self) -> bytes:
        return self._take() + self._push(self._rest, FINAL)

    def _take(self) -> bytes:
        ready, self._ready = self._ready, b""
        return ready

    def _push(self, chunk: bytes, tag: int = MESSAGE) -> bytes:
        return bindings.crypto_secretstream_xchacha20poly1305_push(self._state, chunk, self._bound, tag)


class OpeningStream:
    """Decrypts what `SealingStream` made.  Nothing leaves it that was not checked; `finish` checks the
    end."""

    def __init__(self, data_key: bytes, *, context: tuple[str, ...]) -> None:
        self._state = bindings.crypto_secretstream_xchacha20poly1305_state()
        self._key = data_key
        self._bound = associated(context)
        self._name = " ".join(context)
        self._rest = b""
        self._started = self._ended = False

    def feed(self, sealed: bytes) -> bytes:
        self._rest += sealed
        if not self._started:
            if len(self._rest) < HEADER:
                return b""
            header, self._rest = self._rest[:HEADER], self._rest[HEADER:]
            bindings.crypto_secretstream_xchacha20poly1305_init_pull(self._state, header, self._key)
            self._started = True
        whole = (len(self._rest) - 1) // SEALED_CHUNK * SEALED_CHUNK
        plain = [self._pull(self._rest[at : at + SEALED_CHUNK]) for at in range(0, whole, SEALED_CHUNK)]
        self._rest = self._rest[max(whole, 0) :]
        return b"".join(plain)

    def finish(self) -> bytes:
        """The last chunk.  Raises Damaged if it is not the last one that was written."""
        if not self._started or not self._rest:
            raise self._damaged("it is cut short")
        plain = self._pull(self._rest)
        self._rest = b""
        if not self._ended:
            raise self._damaged("it is cut short")
        return plain

    def _pull(self, chunk: bytes) -> bytes:
        if self._ended:
            raise self._damaged("something follows its end")
        try:
            plain, tag = bindings.crypto_secretstream_xchacha20poly1305_pull(self._state, chunk, self._bound)
        except (CryptoError, ValueError, TypeError):
            raise self._damaged("it was changed, or belongs elsewhere") from None
        self._ended = tag == FINAL
        return plain

    def _damaged(self, why: str) -> Damaged:
        return Damaged(f"A stored object ({self._name}) is damaged: {why}. Restore it from a backup.")


def digest(token: str) -> str:
    """What is stored of a token.  Tells nothing about it without the key ring."""
    return _digest(token, keys.current().lasting_key("token digests"))


def digests(token: str) -> tuple[str, ...]:
    """Every digest *token* may have been stored under, today's first: look it up by all of them."""
    ring = keys.current()
    found = dict.fromkeys((ring.lasting_key("token digests"), *ring.subkeys("token digests")))
    return tuple(_digest(token, key) for key in found)


def fingerprint(content: bytes, purpose: str) -> str:
    """A keyed digest that tells whether two contents are the same, and nothing else."""
    return blake2b(content, key=keys.current().subkey(purpose), digest_size=32).hexdigest()


def same(one: str | bytes, other: str | bytes) -> bool:
    """Compare two secrets in a time that does not depend on where they differ."""
    return hmac.compare_digest(_bytes(one), _bytes(other))


def associated(context: tuple[str, ...]) -> bytes:
    """The context as bytes in which no two contexts look alike."""
    parts = [part.encode() for part in context]
    return b"".join(len(part).to_bytes(4) + part for part in parts)


def _digest(token: str, key: bytes) -> str:
    return blake2b(token.encode("utf-8", "surrogatepass"), key=key, digest_size=32).hexdigest()


def _bytes(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else value


def _head(sealed: bytes) -> tuple[bytes, str]:
    if len(sealed) < 2 or sealed[:1] != VERSION or len(sealed) < 2 + sealed[1] + NONCE:
        raise Damaged("A stored value is damaged: it does not begin as sealed values do.")
    head = sealed[: 2 + sealed[1]]
    return head, head[2:].decode("ascii", "replace")

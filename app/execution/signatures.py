"""Whose signature makes a release good: the publishers' public keys, which come along, and those a site adds."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import pysequoia
from pysequoia import Cert, Sig

from app import clock
from app.errors import StateroomError

#: The key files that come along, by engine.  docs/decisions/0005 says where each is from.
_SHIPPED = {"terraform": ("hashicorp.asc",), "opentofu": ()}


class NotSigned(StateroomError):
    """No key we trust vouches for it."""


def keys(engine: str, added: Path | None) -> list[Cert]:
    """The keys that may sign *engine*'s releases: those that come along, and those in the file *added*."""
    folder = resources.files("app.execution") / "keys"
    texts = [(name, (folder / name).read_bytes()) for name in _SHIPPED.get(engine, ())]
    if added is not None:
        try:
            texts.append((str(added), added.read_bytes()))
        except OSError as error:
            raise NotSigned(f"STATEROOM_RELEASE_KEYS names {added}, which cannot be read: {error.strerror}.") from error
    return [key for name, text in texts for key in _parsed(name, text)]


def _parsed(name: str, text: bytes) -> list[Cert]:
    try:
        found = Cert.split_bytes(text)
    except (RuntimeError, ValueError) as error:
        raise NotSigned(f"{name} holds no OpenPGP public keys: {_first_line(error)}.") from error
    if not found:
        raise NotSigned(f"{name} holds no OpenPGP public keys.")
    return found


def verify(what: str, content: bytes, signature: bytes, trusted: Sequence[Cert]) -> None:
    """Raise `NotSigned` unless *signature* over *content* is by a key we trust that is still valid."""
    try:
        given = Sig.from_bytes(signature)
    except (RuntimeError, ValueError) as error:
        raise NotSigned(f"The signature over {what} cannot be read: {_first_line(error)}.") from error
    good = [key for key in trusted if _signed(content, given, key)]
    if not good:
        names = ", ".join(key.fingerprint.upper() for key in trusted) or "none"
        raise NotSigned(
            f"The signature over {what} (by the key {(given.issuer_fingerprint or 'unknown').upper()}) does not hold"
            f" under any key this server trusts ({names}): the file was changed, or somebody else signed it. Keys of a"
            " mirror of your own belong into STATEROOM_RELEASE_KEYS."
        )
    lame = [reason for key in good if (reason := _why_not(key))]
    if len(lame) == len(good):
        raise NotSigned(
            f"{what} is signed by the key {lame[0]}. Upgrade Stateroom, or put its successor into a file"
            " that STATEROOM_RELEASE_KEYS names."
        )


def _signed(content: bytes, given: Sig, key: Cert) -> bool:
    try:
        return bool(pysequoia.verify(bytes=content, store=lambda _: [key], signature=given).valid_sigs)
    except (RuntimeError, ValueError):
        return False


def _why_not(key: Cert) -> str | None:
    name = key.fingerprint.upper()
    if key.is_revoked:
        return f"{name}, which was revoked"
    if key.expiration is not None and key.expiration <= clock.now():
        return f"{name}, which expired on {key.expiration:%Y-%m-%d}"
    return None


def _first_line(error: Exception) -> str:
    """Without the stack that sequoia adds."""
    return next(iter(str(error).splitlines()), type(error).__name__).rstrip(". ")

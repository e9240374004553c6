"""The key ring: what everything stored is encrypted under.

A ring holds one or more keys of 32 bytes, each with an id made from the key itself, and one of them
active.  Nothing is ever encrypted under a key directly: each purpose has a key of its own, derived.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

import structlog

from app.errors import StateroomError
from app.secret import Secret
from app.settings import Settings
from app.storage.models import KeyInUse

KEY_LENGTH = 32

log = structlog.get_logger(__name__)


class KeyRingError(StateroomError):
    """The key ring cannot be used; the sentence says what to put right."""


@dataclass(frozen=True)
class KeyRing:
    keys: dict[str, Secret[bytes]]
    active: str
    source: str = "the key ring"
    #: Keys by purpose that stay the same whichever key is active (`lasting`).
    lasting: Mapping[str, Secret[bytes]] = field(default_factory=dict)

    def lasting_key(self, purpose: str) -> bytes:
        """The key for what could not be digested anew when another key becomes active."""
        kept = self.lasting.get(purpose)
        return kept.reveal() if kept is not None else self.subkey(purpose)

    def subkey(self, purpose: str, key_id: str | None = None) -> bytes:
        """The key for *purpose*, derived from the active key or from the one named.  Keep it out of sight."""
        chosen = key_id or self.active
        if chosen not in self.keys:
            raise KeyRingError(
                f"{self.source} lacks the key {chosen}, with which this was encrypted. Put the key file back "
                "that was used then, or add that key to it."
            )
        if len(purpose.encode()) > blake2b.PERSON_SIZE:
            raise ValueError(f"the purpose {purpose!r} is longer than {blake2b.PERSON_SIZE} bytes")
        key = self.keys[chosen].reveal()
        return blake2b(b"", key=key, person=purpose.encode(), digest_size=KEY_LENGTH).digest()

    def subkeys(self, purpose: str) -> tuple[bytes, ...]:
        """The key for *purpose* from each key of the ring, the active one's first."""
        others = [key_id for key_id in self.keys if key_id != self.active]
        return tuple(self.subkey(purpose, key_id) for key_id in (self.active, *others))


def generate() -> KeyRing:
    key = secrets.token_bytes(KEY_LENGTH)
    return KeyRing({key_id(key): Secret(key)}, key_id(key))


def key_id(key: bytes) -> str:
    """Names a key without telling it, so that a damaged one is noticed before it is used."""
    return "k" + blake2b(key, digest_size=8, person=b"key id").hexdigest()


def parse(text: str, source: str) -> KeyRing:
    """Read a key file's text.  Sentences never quote it."""
    try:
        document = json.loads(text)
        active, entries = document["active"], dict(document["keys"])
    except (ValueError, KeyError, TypeError):
        raise KeyRingError(
            f'{source} is not a key ring: it must be JSON like {{"active": "ID", "keys": {{"ID": "…"}}}}. '
            "Restore it from your backup."
        ) from None
    ring = {name: Secret(_key(name, value, source)) for name, value in entries.items()}
    if active not in ring:
        raise KeyRingError(f"{source} calls the key {active} active and does not hold it.")
    return KeyRing(ring, active, source)


def dump(ring: KeyRing) -> Secret[str]:
    """The text of a key file that holds *ring*."""
    keys = {name: base64.b64encode(key.reveal()).decode() for name, key in ring.keys.items()}
    return Secret(json.dumps({"active": ring.active, "keys": keys}, indent=2) + "\n")


def with_new_key(ring: KeyRing) -> KeyRing:
    """*ring* with a fresh active key; the old ones stay for what is encrypted under them."""
    prepared = with_prepared_key(ring)
    return replace(prepared, active=list(prepared.keys)[-1])


def with_prepared_key(ring: KeyRing) -> KeyRing:
    """*ring* with a fresh key behind the others, which is not active yet."""
    return replace(ring, keys={**ring.keys, **generate().keys})


def prepared(ring: KeyRing) -> str | None:
    """The key that waits to become active: one that stands behind the active one, where retired keys never stand."""
    names = list(ring.keys)
    behind = names[names.index(ring.active) + 1 :]
    return behind[-1] if behind else None


def load(settings: Settings) -> KeyRing:
    """The ring from `STATEROOM_KEYS` or the key file.  Makes nothing."""
    if settings.keys:
        return parse(settings.keys.reveal(), "STATEROOM_KEYS")
    path = key_file(settings)
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise KeyRingError(
            f"The key file {path} is not there. Put it back, or name it in STATEROOM_KEYS_FILE; "
            "`stateroom up` makes one for a new data directory."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise KeyRingError(f"The key file {path} cannot be read: {reason}.") from error
    if mode & 0o077:
        raise KeyRingError(
            f"The key file {path} can be read by other users (mode {mode & 0o777:o}). Run: chmod 600 {path}"
        )
    return parse(text, f"The key file {path}")


def save(ring: KeyRing, path: Path, *, replace_it: bool = False) -> None:
    """Write the key file, mode 0600, whole or not at all.  Raises FileExistsError unless told to
    *replace_it*; its owner stays then."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(dump(ring).reveal())
            if replace_it:
                _give_to_owner(descriptor, path)
            file.flush()
            os.fsync(file.fileno())
        if replace_it:
            os.replace(temporary, path)
        else:
            os.link(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _give_to_owner(descriptor: int, path: Path) -> None:
    """Let the file that replaces *path* belong to whom that belongs: a server must read what root has rotated."""
    with suppress(FileNotFoundError):
        before = path.stat()
        if (before.st_uid, before.st_gid) != (os.geteuid(), os.getegid()):
            os.fchown(descriptor, before.st_uid, before.st_gid)


async def open_ring(settings: Settings) -> KeyRing:
    """Load the ring, make it the current one and see that it fits the database, which must be connected.

    A new installation gets a new key file.  One whose database was encrypted before never does: without the
    old key its states could not be read, and a new file would only hide that.
    """
    from app.storage import lasting

    known = {row.key_id for row in await KeyInUse.all()}
    if not known and not settings.keys and not key_file(settings).exists():
        try:
            save(generate(), key_file(settings))
        except FileExistsError:  # another process was first: its key counts
            pass
        except OSError as error:
            raise KeyRingError(f"The key file {key_file(settings)} cannot be written: {error.strerror}.") from error
    ring = load(settings)
    missing = sorted(known - set(ring.keys))
    if missing:
        raise KeyRingError(
            f"{ring.source} is not the one this database was encrypted with: it lacks the key "
            f"{', '.join(missing)}. Put the right key file back; nothing was changed."
        )
    if ring.active not in known:
        await KeyInUse.get_or_create(key_id=ring.active)
    use(ring)
    opened = replace(ring, lasting=await lasting.opened(ring))
    use(opened)
    _watch(source_file(settings))
    return opened


def key_file(settings: Settings) -> Path:
    return settings.data_dir / "keys.json"


def source_file(settings: Settings) -> Path | None:
    """The file the ring is read from; None where a variable or the settings' file holds its text."""
    if not settings.keys:
        return key_file(settings)
    named = os.environ.get("STATEROOM_KEYS_FILE")
    return Path(named) if named and not os.environ.get("STATEROOM_KEYS") else None


_current: KeyRing | None = None
_watched: Path | None = None
_seen: tuple[int, ...] | None = None


def use(ring: KeyRing | None) -> None:
    """Make *ring* the one this process encrypts with, whatever becomes of the file it came from."""
    global _current, _watched
    _current, _watched = ring, None


def current() -> KeyRing:
    """The ring as its file is now: a look at the file costs a microsecond, so every use of a key looks, and one that
    another process has made active is used by all from that moment."""
    if _current is None:
        raise RuntimeError("no key ring is open: call keys.open_ring first")
    if _watched is not None and _stamp(_watched) != _seen:
        _read_again(_watched, _current)
    return _current


def _watch(path: Path | None) -> None:
    global _watched, _seen
    _watched = path
    _seen = _stamp(path) if path is not None else None


def _stamp(path: Path) -> tuple[int, ...] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size


def _read_again(path: Path, before: KeyRing) -> None:
    """Take the changed file's ring.  One that cannot be read, or has gone, changes nothing: we go on as we are."""
    global _current, _seen
    _seen = _stamp(path)
    try:
        found = parse(path.read_text(encoding="utf-8"), before.source)
    except (OSError, UnicodeDecodeError, KeyRingError) as error:
        log.warning("the key file has changed and cannot be read; going on with the keys known", reason=str(error))
        return
    log.info("the key file has changed", active=found.active, keys=len(found.keys))
    _current = replace(found, lasting=before.lasting)


def _key(name: str, value: Any, source: str) -> bytes:
    try:
        key = base64.b64decode(value, validate=True)
    except (binascii.Error, TypeError, ValueError):
        key = b""
    if len(key) != KEY_LENGTH:
        raise KeyRingError(f"{source} holds a damaged key {name}: it is not {KEY_LENGTH} bytes in base64.")
    if key_id(key) != name:
        raise KeyRingError(f"{source} holds a damaged key: the one called {name} is another. Restore the file.")
    return key

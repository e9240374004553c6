"""Everything too long for a row: states, archives, plan files, logs.

An object is encrypted as it streams in, under a key of its own, and bound to its id, kind and
organization.  Its row (`StoredObject`) is not saved here: save it in the transaction that also says what
the object is for, so that one never exists without the other.  What is left behind by a crash in between is
bytes that nobody has a key to.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterable, AsyncIterator, Callable
from datetime import timedelta

from tortoise.exceptions import IntegrityError

from app import clock, measures
from app.errors import TooLarge, Unavailable
from app.settings import Settings
from app.storage import crypto, stores
from app.storage.database import in_transaction
from app.storage.models import StoredObject

#: Shorter pieces are worked on at once; a thread costs more than they do.
INLINE = 256 * 1024
PIECE = stores.PIECE
#: Links for uploads hold for about a day: what has not grown for two is written by nobody any more.
CUT = timedelta(days=2)

#: How many rows are asked for at a time.
ROWS = 500

_store: stores.Store | None = None


def connect(settings: Settings) -> None:
    global _store
    _store = stores.open_store(settings)


def close() -> None:
    global _store
    _store = None


async def settle() -> str | None:
    """Look whether this is the store that has the database's objects; if not, it refuses what it is given from now on.
    What is wrong with it, in a sentence; None if nothing is."""
    rows = await StoredObject.all().order_by("id").limit(ROWS).only("id", "kind", "organization_id")
    try:
        await _opened().settle([_name(row) for row in rows])
    except Unavailable as error:
        return error.sentence
    return None


async def ping() -> None:
    """Raises Unavailable if nothing could be stored now."""
    await _opened().ping()


async def put(
    kind: str,
    organization_id: str | None,
    chunks: AsyncIterable[bytes] | bytes,
    *,
    limit: int | None = None,
) -> StoredObject:
    """Store *chunks* durably and give their row, **not yet saved**.

    Raises TooLarge beyond *limit* bytes and Unavailable if the store fails; then nothing is left.
    """
    stored = StoredObject(kind=kind, organization_id=organization_id)
    data_key = secrets.token_bytes(crypto.DATA_KEY)
    stored.key_id, stored.wrapped_key = crypto.wrap(data_key, context=_context(stored))
    intake = _Intake(stored, crypto.SealingStream(data_key, context=_context(stored)), limit)
    started = clock.monotonic()
    try:
        await _opened().put(_name(stored), intake.awaited(intake.pieces(chunks)))
    finally:
        measures.objects.labels("put").observe(clock.monotonic() - started - intake.seconds)
    return stored


async def stream(stored: StoredObject, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
    """The object's bytes, from *start*, *length* of them or all.

    Each piece is checked before it is given.  Raises Damaged, also at the end if something is missing
    there.  The cipher has no shortcut to the middle: what lies before *start* is read and dropped.
    """
    position = 0
    end = stored.size if length is None else min(start + length, stored.size)
    async for plain in _opening(stored):
        piece = plain[max(start - position, 0) : end - position]
        position += len(plain)
        if piece:
            yield piece
        if position >= end and end < stored.size:
            return
    if position != stored.size:
        raise crypto.Damaged(f"A stored object ({_name(stored)}) has {position} bytes instead of {stored.size}.")


async def read(stored: StoredObject) -> bytes:
    """All of it at once: only for what is known to be small."""
    return b"".join([piece async for piece in stream(stored)])


async def delete(stored: StoredObject) -> None:
    """Forget the row, then the bytes.  Call it after the transaction that took away what referred to it."""
    await StoredObject.filter(id=stored.id).delete()
    await delete_bytes(stored)


async def let_go(stored: StoredObject) -> bool:
    """Forget the row unless another still refers to it; True means that its bytes are to be dropped (`delete_bytes`)
    once the caller's transaction is through.

    Every reference to an object is a foreign key that restricts, so the database knows, whoever the others are.
    """
    try:
        async with in_transaction():
            return bool(await StoredObject.filter(id=stored.id).delete())
    except IntegrityError:
        return False


async def delete_bytes(stored: StoredObject) -> None:
    """Drop the bytes of an object whose row was never saved."""
    with measures.timed(measures.objects.labels("delete")):
        await _opened().delete(_name(stored))


async def abandon(stored: StoredObject) -> None:
    """Drop the bytes of an object whose row did not come to be saved, as far as anyone can know.

    A transaction that failed towards its caller may have been committed all the same; so the row is looked
    for, and if that cannot be told the bytes stay: too many bytes are a nuisance, missing ones a lost
    state.
    """
    if not await StoredObject.filter(id=stored.id).exists():
        await delete_bytes(stored)


async def sweep() -> int:
    """Drop what uploads left that a crash cut long ago.  Whole objects are nobody's to sweep.  How many there were."""
    return await _opened().sweep((clock.now() - CUT).timestamp())


async def nameless() -> AsyncIterator[stores.Kept]:
    """Whole objects that no row names: a crash came between object and row, or after the row.

    Nobody has a key to them.  Those that are younger than two days are passed over: their rows may be on the way.
    """
    until = (clock.now() - CUT).timestamp()
    async for page in _opened().listed():
        old = [one for one in page if one.written_at < until]
        for at in range(0, len(old), ROWS):
            ids = {_id_in(one.name): one for one in old[at : at + ROWS]}
            rows = StoredObject.filter(id__in=list(ids))
            known = {row.id for row in await rows.only("id")}
            for id, one in ids.items():
                if id not in known:
                    yield one


def _id_in(name: str) -> str:
    return name.rpartition("/")[2]


async def rewrap(stored: StoredObject) -> bool:
    """Encrypt the object's key anew under the active one, in its row; the object itself is not touched.

    False if somebody did it meanwhile.  Raises Damaged.
    """
    context = _context(stored)
    plain = crypto.unwrap(stored.key_id, bytes(stored.wrapped_key), context=context)
    key_id, wrapped = crypto.wrap(plain, context=context)
    row = StoredObject.filter(id=stored.id, key_id=stored.key_id)
    return bool(await row.update(key_id=key_id, wrapped_key=wrapped))


class _Intake:
    """Measures, hashes and encrypts what comes in."""

    def __init__(self, stored: StoredObject, sealing: crypto.SealingStream, limit: int | None) -> None:
        self._stored = stored
        self._sealing = sealing
        self._limit = limit
        self._size = 0
        self.seconds = 0.0
        """How long the store waited for the content: a slow upload is no slow store."""
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._sha256 = hashlib.sha256()

    async def awaited(self, pieces: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
        since = clock.monotonic()
        async for piece in pieces:
            self.seconds += clock.monotonic() - since
            yield piece
            since = clock.monotonic()

    async def pieces(self, chunks: AsyncIterable[bytes] | bytes) -> AsyncIterator[bytes]:
        async for plain in _regular(chunks):
            self._size += len(plain)
            if self._limit is not None and self._size > self._limit:
                raise TooLarge(
                    f"The {self._stored.kind} is longer than the {self._limit} bytes that are allowed.",
                    limit=self._limit,
                )
            if sealed := await _off_loop(self._take, plain):
                yield sealed
        yield self._sealing.finish()
        self._stored.size = self._size
        self._stored.md5 = self._md5.hexdigest()
        self._stored.sha256 = self._sha256.hexdigest()

    def _take(self, plain: bytes) -> bytes:
        self._md5.update(plain)
        self._sha256.update(plain)
        return self._sealing.feed(plain)


async def _opening(stored: StoredObject) -> AsyncIterator[bytes]:
    data_key = crypto.unwrap(stored.key_id, bytes(stored.wrapped_key), context=_context(stored))
    opening = crypto.OpeningStream(data_key, context=_context(stored))
    started: float | None = clock.monotonic()
    try:
        async for sealed in _opened().get(_name(stored)):
            if started is not None:
                measures.objects.labels("get").observe(clock.monotonic() - started)
                started = None
            if plain := await _off_loop(opening.feed, sealed):
                yield plain
    except stores.Missing:
        raise crypto.Damaged(
            f"A stored object ({_name(stored)}) is not in the object store. Restore it from a backup."
        ) from None
    yield opening.finish()


async def _off_loop(work: Callable[[bytes], bytes], piece: bytes) -> bytes:
    return work(piece) if len(piece) <= INLINE else await asyncio.to_thread(work, piece)


async def _regular(chunks: AsyncIterable[bytes] | bytes) -> AsyncIterator[bytes]:
    """The same bytes in pieces of about one MiB, however small or large they come."""
    if isinstance(chunks, (bytes, bytearray, memoryview)):
        for at in range(0, len(chunks), PIECE):
            yield bytes(chunks[at : at + PIECE])
        return
    waiting: list[bytes] = []
    length = 0
    async for chunk in chunks:
        for at in range(0, len(chunk), PIECE):
            part = chunk[at : at + PIECE]
            waiting.append(part)
            length += len(part)
            if length >= PIECE:
                yield b"".join(waiting)
                waiting.clear()
                length = 0
    if waiting:
        yield b"".join(waiting)


def _opened() -> stores.Store:
    if _store is None:
        raise RuntimeError("no object store is open: call objects.connect first")
    return _store


def _context(stored: StoredObject) -> tuple[str, ...]:
    return stored.kind, stored.organization_id or "", stored.id


def _name(stored: StoredObject) -> str:
    return f"{stored.kind}/{stored.organization_id or 'site'}/{stored.id}"

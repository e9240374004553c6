"""Where encrypted objects lie: files on this machine, or a bucket.  Knows nothing of what is in them."""

from __future__ import annotations

import asyncio
import errno
import os
import re
import secrets
import stat
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TypeVar
from urllib.parse import unquote, urlsplit

import obstore
from obstore import exceptions as refused
from obstore.store import AzureStore, GCSStore, S3Store

from app.errors import Unavailable
from app.settings import Settings, SettingsError

T = TypeVar("T")

PIECE = 1024 * 1024
#: What a store has beside its objects.
MARK, MARK_SAYS = ".stateroom", b"Stateroom keeps objects here.\n"
#: A file that is still being written; no object's name begins with a dot.
_UNFINISHED = re.compile(r"\..+\.[0-9a-f]{8}")
BUCKETS: dict[str, Callable[..., Any]] = {
    "s3": S3Store.from_url,
    "gs": GCSStore.from_url,
    "az": AzureStore.from_url,
}


class Missing(Exception):
    """There is no object of that name."""


@dataclass(frozen=True, slots=True)
class Kept:
    """An object as the store knows it: *size* in bytes as it lies there, *written_at* a UNIX time."""

    name: str
    size: int
    written_at: float


class Store(Protocol):
    async def settle(self, names: Sequence[str]) -> None:
        """Tell whether this is the store we know, and from now on keep nothing in another one.  *names* are objects
        that must be there.  Raises Unavailable if it is not, or cannot be written to."""

    async def put(self, name: str, pieces: AsyncIterator[bytes]) -> None:
        """Keep all *pieces* under *name*, durably, whole or not at all."""

    def get(self, name: str) -> AsyncIterator[bytes]:
        """Raises Missing."""

    async def delete(self, name: str) -> None:
        """Also what is not there can be deleted."""

    async def sweep(self, before: float) -> int:
        """Drop what uploads left that were cut by a crash and have not grown since *before* (a UNIX time); never an
        object.  How many there were."""

    def listed(self) -> AsyncIterator[list[Kept]]:
        """Every object there is, some at a time."""

    async def ping(self) -> None:
        """Raises Unavailable if nothing could be stored now."""


def open_store(settings: Settings) -> Store:
    url = settings.objects_url.reveal()
    parts = urlsplit(url)
    if parts.scheme == "file":
        return Files(Path(unquote(parts.path)))
    if parts.scheme not in BUCKETS:
        raise SettingsError(
            f"STATEROOM_OBJECTS_URL begins with {parts.scheme or 'nothing'}://, but it must be file://, "
            "s3://, gs:// or az://."
        )
    options = dict(settings.objects_options)
    if options.get("endpoint", "").startswith("http://"):
        options.setdefault("allow_http", "true")
    client = {"allow_http": True} if options.pop("allow_http", "") == "true" else None
    try:
        return Bucket(BUCKETS[parts.scheme](url, config=options, client_options=client))
    except refused.BaseError as error:
        raise SettingsError(f"STATEROOM_OBJECTS_URL or STATEROOM_OBJECTS_OPTIONS is not usable: {error}.") from None


class Files:
    """One file per object.  Written beside its place, synced, then renamed into it, and the directory
    synced.

    Once settled, the directory must have its mark whenever something is written: where a volume is mounted no more,
    there is an empty directory, or none."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._is_settled = False

    async def settle(self, names: Sequence[str]) -> None:
        await self._on_disk(self._settle, names)

    async def put(self, name: str, pieces: AsyncIterator[bytes]) -> None:
        path = self._path(name)
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")  # as _UNFINISHED has it
        file = await self._on_disk(self._create, temporary)
        try:
            async for piece in pieces:
                await self._on_disk(file.write, piece)
            await self._on_disk(_settle_file, file, temporary, path)
        except BaseException:
            await asyncio.shield(asyncio.to_thread(_discard, file, temporary))
            raise

    async def get(self, name: str) -> AsyncIterator[bytes]:
        try:
            file = await asyncio.to_thread(self._path(name).open, "rb", 0)
        except FileNotFoundError:
            await self._on_disk(self._check_mark)
            raise Missing(name) from None
        except OSError as error:
            raise Unavailable(f"The object {self._path(name)} cannot be read: {error.strerror or error}.") from error
        with file:
            while piece := await self._on_disk(file.read, PIECE):
                yield piece

    async def delete(self, name: str) -> None:
        await self._on_disk(self._path(name).unlink, True)

    async def sweep(self, before: float) -> int:
        return await self._on_disk(_sweep, self.root, before)

    async def listed(self) -> AsyncIterator[list[Kept]]:
        for folder in await self._on_disk(lambda: sorted(self.root.glob("*/*"))):
            yield await self._on_disk(_kept_in, self.root, folder)

    async def ping(self) -> None:
        await self._on_disk(self._try_to_write)

    def _settle(self, names: Sequence[str]) -> None:
        """A directory without the mark gets it if it has one of the objects, being older than marks, or if there are
        no objects yet."""
        mark = self.root / MARK
        if not mark.exists() and (not names or any(self._path(name).exists() for name in names)):
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            mark.write_bytes(MARK_SAYS)
        self._is_settled = True
        self._check_mark()

    def _check_mark(self) -> None:
        if self._is_settled and not (self.root / MARK).exists():
            raise Unavailable(
                f"The directory {self.root} is not the one that objects are kept in: there is no {MARK} in it. Mount"
                f" the volume that has them, or restore it. If these are all there are, create an empty {MARK} there."
            )

    def _create(self, path: Path) -> BinaryIO:
        self._check_mark()
        return _create(path)

    def _try_to_write(self) -> None:
        self._check_mark()
        _try_to_write(self.root)

    async def _on_disk(self, work: Callable[..., T], *arguments: Any) -> T:
        try:
            return await asyncio.to_thread(work, *arguments)
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            raise Unavailable(
                f"The disk that holds {self.root} is full. Nothing was stored; free some space."
                if full
                else f"Objects cannot be kept in {self.root}: {error.strerror or error}."
            ) from error

    def _path(self, name: str) -> Path:
        return self.root.joinpath(*name.split("/"))


class Bucket:
    """A bucket of S3, Google or Azure.  Long objects go up in parts; nothing is visible before the last
    one."""

    def __init__(self, store: Any) -> None:
        self._store = store

    async def settle(self, names: Sequence[str]) -> None:
        """A bucket is the one of its name: what is not there is no empty bucket, but refused."""

    async def put(self, name: str, pieces: AsyncIterator[bytes]) -> None:
        first = [piece async for piece in _at_most(pieces, 5 * PIECE)]
        if sum(map(len, first)) < 5 * PIECE:
            with bucket_refusals():
                await obstore.put_async(self._store, name, b"".join(first), use_multipart=False)
        else:
            await self._put_parts(name, first, pieces)

    async def _put_parts(self, name: str, first: list[bytes], rest: AsyncIterator[bytes]) -> None:
        failure: list[BaseException] = []

        async def everything() -> AsyncIterator[bytes]:
            try:
                while first:
                    yield first.pop(0)
                async for piece in rest:
                    yield piece
            except BaseException as error:
                failure.append(error)  # the library would wrap it in one of its own
                raise

        try:
            with bucket_refusals():
                await obstore.put_async(self._store, name, everything(), chunk_size=5 * PIECE, max_concurrency=2)
        except Unavailable:
            if failure:
                raise failure[0] from None
            raise

    async def get(self, name: str) -> AsyncIterator[bytes]:
        with bucket_refusals():
            try:
                answer = await obstore.get_async(self._store, name)
            except refused.NotFoundError:
                raise Missing(name) from None
            except FileNotFoundError:
                raise Missing(name) from None
            async for piece in answer.stream(min_chunk_size=PIECE):
                yield bytes(piece)

    async def delete(self, name: str) -> None:
        with bucket_refusals():
            try:
                await obstore.delete_async(self._store, name)
            except (refused.NotFoundError, FileNotFoundError):
                return

    async def sweep(self, before: float) -> int:
        """The parts of a cut upload are no objects, and a rule of the bucket drops them (docs/operations.md)."""
        return 0

    async def listed(self) -> AsyncIterator[list[Kept]]:
        with bucket_refusals():
            async for page in obstore.list(self._store):
                found = (Kept(one["path"], one["size"], one["last_modified"].timestamp()) for one in page)
                yield [one for one in found if not one.name.startswith(".")]

    async def ping(self) -> None:
        with bucket_refusals():
            await obstore.put_async(self._store, MARK, MARK_SAYS, use_multipart=False)


async def _at_most(pieces: AsyncIterator[bytes], length: int) -> AsyncIterator[bytes]:
    """Pieces until *length* bytes are reached; the rest stay in *pieces*."""
    while length > 0:
        try:
            piece = await anext(pieces)
        except StopAsyncIteration:
            return
        length -= len(piece)
        yield piece


def _create(path: Path) -> BinaryIO:
    try:
        return path.open("xb")
    except FileNotFoundError:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return path.open("xb")


def _settle_file(file: BinaryIO, temporary: Path, path: Path) -> None:
    file.flush()
    os.fsync(file.fileno())
    file.close()
    temporary.replace(path)
    for directory in (path.parent, path.parent.parent):
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _discard(file: BinaryIO, temporary: Path) -> None:
    try:
        file.close()
    except OSError:
        pass  # what could not be flushed is deleted now
    temporary.unlink(missing_ok=True)


def _sweep(root: Path, before: float) -> int:
    count = 0
    for path in root.glob("*/*/.*"):
        with suppress(FileNotFoundError):  # another worker sweeps, too
            if _UNFINISHED.fullmatch(path.name) and path.stat().st_mtime < before:
                path.unlink()
                count += 1
    return count


def _kept_in(root: Path, folder: Path) -> list[Kept]:
    found = []
    for path in folder.iterdir() if folder.is_dir() else ():
        with suppress(FileNotFoundError):  # somebody may delete it now
            facts = path.stat()
            if stat.S_ISREG(facts.st_mode) and not path.name.startswith("."):
                found.append(Kept(str(path.relative_to(root)), facts.st_size, facts.st_mtime))
    return found


def _try_to_write(root: Path) -> None:
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    probe = root / f".probe.{secrets.token_hex(4)}"
    try:
        probe.write_bytes(b"0" * 4096)
    finally:
        probe.unlink(missing_ok=True)


@contextmanager
def bucket_refusals() -> Iterator[None]:
    try:
        yield
    except (refused.PermissionDeniedError, refused.UnauthenticatedError) as error:
        raise Unavailable("The object store refuses our credentials. Check STATEROOM_OBJECTS_URL.") from error
    except (refused.BaseError, OSError) as error:
        raise Unavailable("The object store does not answer as it should. Try again.") from error

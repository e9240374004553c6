"""The archive of a configuration version: a gzip tar, read through once as it arrives.

The same code looks at it when it is uploaded and unpacks it before a run, so what was accepted is what is
unpacked.  Nothing of it is believed: sizes and counts are bounded, names and links stay inside.
"""

from __future__ import annotations

import asyncio
import tarfile
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from app.configurations.archive_tree import Tree, path_of
from app.configurations.tar_stream import Header, TarStream, Write, quoted
from app.configurations.unpacking import Unpacker, Visitor
from app.errors import Invalid
from app.http.limits import Limit, readable
from app.settings import Settings


@dataclass(frozen=True)
class ArchiveLimits:
    packed: Limit
    unpacked: int
    files: int

    @classmethod
    def of(cls, settings: Settings) -> ArchiveLimits:
        packed = Limit("A configuration archive", settings.max_archive, "STATEROOM_MAX_ARCHIVE")
        return cls(packed, settings.max_archive_unpacked, settings.max_archive_files)


class Archive:
    """Feed it the bytes as they come, then `finish`.

    Raises `Invalid` at the first thing that is wrong, naming the entry, and `TooLarge` where the packed
    archive is; nothing may be fed after that.  *place* may give an entry another name, before it is judged, or leave
    it out by None.
    """

    def __init__(
        self,
        limits: ArchiveLimits,
        visitor: Visitor | None = None,
        place: Callable[[Header], Header | None] | None = None,
    ) -> None:
        self._limits = limits
        self._visitor = visitor or Visitor()
        self._place = place
        self._tree = Tree(limits.files)
        self._packed = self._unpacked = self._entries = 0
        # Names, targets and times beyond what a plain header holds: about a kilobyte an entry is generous.
        self._stream = TarStream(self._begin, self._visitor.end_of_file, most_extensions=1024 * (limits.files + 1024))

    def feed(self, chunk: bytes) -> None:
        self._packed += len(chunk)
        if self._packed > self._limits.packed.most:
            raise self._limits.packed.exceeded()
        self._stream.feed(chunk)

    def finish(self) -> None:
        self._stream.finish()

    @property
    def comment(self) -> str | None:
        """What it says of itself as a whole, as far as it was fed."""
        return self._stream.comment

    def _begin(self, header: Header) -> Write | None:
        """Judge one entry and say who gets its content."""
        self._count(header)
        placed = self._place(header) if self._place else header
        return self._judge(placed) if placed else None

    def _judge(self, header: Header) -> Write | None:
        path = path_of(header.name or ".") if header.type == tarfile.DIRTYPE else path_of(header.name)
        if header.is_file:
            return self._file(path, header)
        if header.type == tarfile.DIRTYPE:
            self._directory(path, header)
        elif header.type == tarfile.SYMTYPE:
            self._link(path, header)
        elif header.type == tarfile.LNKTYPE:
            self._hard_link(path, header)
        else:
            kind = _KINDS.get(header.type, "of an unknown kind")
            raise Invalid(
                f"The archive's entry {quoted(header.name)} is {kind}; a configuration holds only files, "
                "directories and links."
            )
        return None

    def _count(self, header: Header) -> None:
        self._entries += 1
        if self._entries > self._limits.files:
            raise Invalid(
                f"The archive holds more than {self._limits.files} entries (setting "
                f"STATEROOM_MAX_ARCHIVE_FILES); {quoted(header.name)} is one too many."
            )
        if header.is_file:
            self._unpacked += header.size
        if self._unpacked > self._limits.unpacked:
            raise Invalid(
                f"The archive is longer than {readable(self._limits.unpacked)} unpacked (setting "
                f"STATEROOM_MAX_ARCHIVE_UNPACKED); {quoted(header.name)} breaks that limit."
            )

    def _directory(self, path: tuple[str, ...], header: Header) -> None:
        self._tree.add_directory(path)
        if path:
            self._visitor.directory(path, header.mode & 0o777)

    def _file(self, path: tuple[str, ...], header: Header) -> Write | None:
        if not path or header.name.endswith("/"):
            raise Invalid(f"The archive's entry {quoted(header.name)} is a file named like a directory.")
        if _is_skipped(path):
            return None
        self._tree.add_file(path)
        return self._visitor.file(path, header.mode & 0o777, header.size)

    def _link(self, path: tuple[str, ...], header: Header) -> None:
        if not _is_skipped(path):
            self._tree.add_link(path, header.target)
            self._visitor.link(path, header.target)

    def _hard_link(self, path: tuple[str, ...], header: Header) -> None:
        source = path_of(header.target, within=header.name)
        if not _is_skipped(path):
            self._tree.add_hard_link(path, source)
            self._visitor.hard_link(path, source)


async def inspected(chunks: AsyncIterable[bytes], limits: ArchiveLimits) -> AsyncIterator[bytes]:
    """Pass *chunks* on as they come, each looked at first; the end comes only if the archive is whole.

    In a thread, because a chunk may inflate a thousandfold.
    """
    archive = Archive(limits)
    async for chunk in chunks:
        await asyncio.to_thread(archive.feed, chunk)
        yield chunk
    archive.finish()


def unpack(source: Iterable[bytes], directory: Path, uid: int | None = None, *, limits: ArchiveLimits) -> None:
    """Put what the archive holds below *directory*, which exists and is empty; owned by *uid* if given.

    Raises like `Archive`; what was unpacked until then stays and is to be thrown away.
    """
    with Unpacker(directory, uid) as unpacker:
        archive = Archive(limits, unpacker)
        for chunk in source:
            archive.feed(chunk)
        archive.finish()


def _is_skipped(path: tuple[str, ...]) -> bool:
    """What macOS's tar adds for attributes of its own: terraform would read ``._main.tf`` as a file."""
    return bool(path) and path[-1].startswith("._")


_KINDS = {
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a named pipe",
    tarfile.GNUTYPE_SPARSE: "a sparse file",
}

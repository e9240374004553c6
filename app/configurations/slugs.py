"""Makes the archive of a configuration version from a commit that a repository's host packed.

A host packs as git does: everything below one directory, and the commit's full id in front.  A slug is what terraform
itself uploads: paths from the repository's root.  One is rewritten into the other as it arrives, judged entry by entry
like any archive; nothing is ever written to a disk under a name that somebody else chose.  The same commit, packed
alike, makes the same bytes.  Source: `github-app.md` §5.1 and §5.3 of the protocol notes.
"""

from __future__ import annotations

import asyncio
import re
import tarfile
import zlib
from collections.abc import AsyncIterable, AsyncIterator, Callable
from dataclasses import dataclass, replace

from app.configurations.archive import Archive, ArchiveLimits
from app.configurations.archive_tree import Path, path_of
from app.configurations.tar_stream import BLOCK, Header, Write, quoted
from app.configurations.unpacking import Visitor
from app.errors import Invalid

#: Of a file whose text is looked at no more than this is kept; git itself ignores longer attribute files from here on.
MOST_KEPT = 1024 * 1024
#: Longest pointer of Git LFS, by its specification.
LONGEST_POINTER = 1024
_POINTER = b"version https://git-lfs.github.com/spec/"
_LEAVES_OUT = re.compile(rb"^[^#\n][^\n]*\sexport-(?:ignore|subst)\b", re.MULTILINE)


@dataclass
class Lacks:
    """What a host's archive may lack of its commit; all of it needs git to be had."""

    submodules: bool = False
    """There is a ``.gitmodules``: the submodules themselves are empty directories."""
    attributes: bool = False
    """A ``.gitattributes`` leaves files out of archives, or rewrites them there.  One that leaves out itself is not
    seen."""
    large_files: bool = False
    """Some files are pointers of Git LFS."""


class Slug:
    """Rewrites one archive of the commit *sha*; what it lacks is known once all of it was `packed`."""

    def __init__(self, limits: ArchiveLimits, sha: str) -> None:
        self._limits = limits
        self._sha = sha
        self._writer = _Writer()
        self._archive = Archive(limits, self._writer, self._below_top)
        self._top: str | None = None
        self._size = 0

    @property
    def lacks(self) -> Lacks:
        return self._writer.lacks

    async def packed(self, chunks: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
        """The slug of the archive that arrives as *chunks*; the end comes only if that was whole.

        Raises like `Archive`, and `Invalid` where it is another commit's.  In a thread, because a chunk may inflate a
        thousandfold.
        """
        async for chunk in chunks:
            yield await asyncio.to_thread(self._rewrite, chunk)
        self._archive.finish()
        self._compare()
        yield await asyncio.to_thread(self._counted, self._writer.finish)

    def _rewrite(self, chunk: bytes) -> bytes:
        self._archive.feed(chunk)
        return self._counted(self._writer.take)

    def _counted(self, take: Callable[[], bytes]) -> bytes:
        piece = take()
        self._size += len(piece)
        if self._size > self._limits.packed.most:
            raise self._limits.packed.exceeded()
        return piece

    def _below_top(self, header: Header) -> Header | None:
        """The entry as it is called below the one directory that holds everything; None for git's own files."""
        if self._top is None:
            self._compare()
            self._writer.mtime = max(header.mtime, 0)
        path = self._strip(path_of(header.name))
        if any(part.lower() == ".git" for part in path):
            return None
        if not path and header.type != tarfile.DIRTYPE:
            raise Invalid(f"The commit's archive has {quoted(header.name)} where its directory should be.")
        name = "/".join(path) + ("/" if path and header.name.endswith("/") else "")
        target = header.target
        if header.type == tarfile.LNKTYPE:
            target = "/".join(self._strip(path_of(target, within=header.name)))
        return replace(header, name=name, target=target)

    def _strip(self, path: Path) -> Path:
        top = path[0] if path else ""
        if self._top is None:
            self._top = top
        if not top or top != self._top:
            raise Invalid(
                f"The commit's archive has {quoted('/'.join(path))} beside {quoted(self._top)}; a repository's archive"
                " holds one directory."
            )
        return path[1:]

    def _compare(self) -> None:
        said = self._archive.comment
        if said != self._sha:
            other = f"is one of the commit {quoted(said)}" if said else "does not say which commit it holds"
            raise Invalid(f"The archive that came for {self._sha} {other}.")


class _Writer(Visitor):
    """Packs what it visits, without the traces of whoever packed it before."""

    def __init__(self) -> None:
        self.lacks = Lacks()
        self.mtime = 0
        self._gzip = zlib.compressobj(wbits=31)
        self._packed = bytearray()
        self._size = 0
        self._kept: bytearray | None = None
        self._judge = self._judge_content

    def take(self) -> bytes:
        """What there is of the slug since the last call."""
        taken = bytes(self._packed)
        self._packed.clear()
        return taken

    def finish(self) -> bytes:
        self._write(bytes(2 * BLOCK))
        self._packed += self._gzip.flush()
        return self.take()

    def directory(self, path: Path, mode: int) -> None:
        self._begin(path, tarfile.DIRTYPE, 0o755)

    def file(self, path: Path, mode: int, size: int) -> Write:
        self._begin(path, tarfile.REGTYPE, 0o755 if mode & 0o111 else 0o644, size=size)
        self._size = size
        if path == (".gitmodules",):
            self.lacks.submodules = True
        attributes = path[-1] == ".gitattributes"
        self._judge = self._judge_attributes if attributes else self._judge_content
        self._kept = bytearray() if attributes or size <= LONGEST_POINTER else None
        return self._content

    def end_of_file(self) -> None:
        self._write(bytes(-self._size % BLOCK))
        if self._kept is not None:
            self._judge(bytes(self._kept))

    def link(self, path: Path, target: str) -> None:
        self._begin(path, tarfile.SYMTYPE, 0o777, target=target)

    def hard_link(self, path: Path, source: Path) -> None:
        self._begin(path, tarfile.LNKTYPE, 0o644, target="/".join(source))

    def _begin(self, path: Path, kind: bytes, mode: int, *, size: int = 0, target: str = "") -> None:
        entry = tarfile.TarInfo("/".join(path))
        entry.type, entry.mode, entry.size, entry.linkname, entry.mtime = kind, mode, size, target, self.mtime
        self._write(entry.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict"))

    def _content(self, piece: bytes) -> None:
        self._write(piece)
        if self._kept is not None and len(self._kept) < MOST_KEPT:
            self._kept += piece[: MOST_KEPT - len(self._kept)]

    def _judge_attributes(self, text: bytes) -> None:
        if _LEAVES_OUT.search(text):
            self.lacks.attributes = True

    def _judge_content(self, text: bytes) -> None:
        if text.startswith(_POINTER):
            self.lacks.large_files = True

    def _write(self, piece: bytes) -> None:
        self._packed += self._gzip.compress(piece)

"""Reads a gzip tar that arrives in pieces, in one pass and in little memory.

Understands what Go's archive/tar, GNU tar, bsdtar and git write: ustar, PAX records, GNU long names.  Says
nothing about where an entry may lie; that is `archive_tree`'s part.
"""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Callable, Generator
from dataclasses import dataclass

from app.errors import Invalid

BLOCK = 512
#: Most that is inflated at a time, so a bomb is noticed after this much and not after gigabytes.
PIECE = 256 * 1024
#: Longest extension header (it may hold extended attributes), and most of them before one entry.
MOST_EXTENSION = 1024 * 1024
MOST_EXTENSIONS = 8
#: What may follow the end of an archive: tar fills up to its blocking factor.
MOST_PADDING = 1024 * 1024

_EXTENSIONS = (b"x", b"X", b"g", b"L", b"K")
_Needs = Generator[None, bytes, None]


@dataclass(frozen=True)
class Header:
    """One entry as the archive has it.  *type* is tar's letter; undecodable bytes are surrogates; *mtime* counts whole
    seconds since 1970."""

    name: str
    type: bytes
    mode: int
    size: int
    target: str
    mtime: int

    @property
    def is_file(self) -> bool:
        return self.type in (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)


#: Gets the content of a file piece by piece.
Write = Callable[[bytes], object]


class TarStream:
    """Feed it an archive; *begin* is called with each entry and may return who gets the entry's content,
    *end* when that content is complete.

    Raises `Invalid` at the first byte that shows that this is no whole gzip tar, or whatever *begin* raises.
    """

    def __init__(
        self,
        begin: Callable[[Header], Write | None],
        end: Callable[[], object],
        *,
        most_extensions: int,
    ) -> None:
        self._begin = begin
        self._end = end
        self.comment: str | None = None
        """What the archive says of itself as a whole: git puts the commit's full id there."""
        self._extensions_left = most_extensions
        self._held = bytearray()
        self._at_border = False
        self._last = "its beginning"
        self._gzip = zlib.decompressobj(wbits=31)
        self._parser = self._parse()
        next(self._parser)

    def feed(self, chunk: bytes) -> None:
        full = False
        while chunk or full:
            if self._gzip.eof:
                chunk = chunk.lstrip(b"\0")  # padding; anything else must be another gzip member
                if not chunk:
                    return
                self._gzip = zlib.decompressobj(wbits=31)
            try:
                piece = self._gzip.decompress(chunk, PIECE)
            except zlib.error as error:
                raise Invalid(
                    f"The archive is not gzip data, or is damaged, after {self._last}. Upload a gzip tar."
                ) from error
            if piece:
                self._parser.send(piece)
            chunk = self._gzip.unused_data or self._gzip.unconsumed_tail
            full = len(piece) == PIECE and not self._gzip.eof

    def finish(self) -> None:
        """Say that nothing more comes.  Raises `Invalid` if something is missing."""
        if not self._gzip.eof or not self._at_border or self._held:
            raise Invalid(f"The archive ends in the middle, after {self._last}. Upload the whole of it, as a gzip tar.")

    def _take(self, size: int) -> Generator[None, bytes, bytes]:
        while len(self._held) < size:
            self._held += yield
        taken = bytes(self._held[:size])
        del self._held[:size]
        return taken

    def _pass_on(self, size: int, write: Write | None) -> _Needs:
        """Give *size* bytes to *write*, and drop what fills up the last block."""
        for left, to in ((size, write), (-size % BLOCK, None)):
            while left:
                if not self._held:
                    self._held += yield
                piece = bytes(self._held[:left])
                del self._held[:left]
                left -= len(piece)
                if to:
                    to(piece)

    def _parse(self) -> _Needs:
        while True:
            header = yield from self._header()
            if header is None:
                break
            self._at_border = False
            self._last = quoted(header.name)
            write = self._begin(header)
            yield from self._pass_on(header.size if header.is_file else 0, write)
            if write:
                self._end()
            self._at_border = True
        yield from self._padding()

    def _padding(self) -> _Needs:
        self._at_border = True
        left = MOST_PADDING
        while left >= len(self._held):
            left -= len(self._held)
            self._held.clear()
            self._held += yield
        raise Invalid(f"The archive goes on after its end, which comes after {self._last}.")

    def _header(self) -> Generator[None, bytes, Header | None]:
        """The next entry with all that extension headers say of it; None at the end of the archive."""
        said: dict[str, bytes] = {}
        for _ in range(MOST_EXTENSIONS + 1):
            block = yield from self._take(BLOCK)
            if not block.strip(b"\0"):
                return None
            try:
                info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
            except tarfile.HeaderError as error:
                raise Invalid(f"The archive is no tar: what follows {self._last} is no header.") from error
            self._at_border = False
            if info.size < 0:
                raise Invalid(f"The archive is no tar: {quoted(info.name)} has a negative size.")
            if info.type not in _EXTENSIONS:
                return _header(info, said)
            said |= yield from self._extension(info)
        raise Invalid(f"The archive has too many extension headers after {self._last}.")

    def _extension(self, info: tarfile.TarInfo) -> Generator[None, bytes, dict[str, bytes]]:
        self._extensions_left -= info.size
        if info.size > MOST_EXTENSION or self._extensions_left < 0:
            raise Invalid(f"The archive's extension headers after {self._last} are too long.")
        padded = yield from self._take(info.size + -info.size % BLOCK)
        content = padded[: info.size]
        if info.type == b"g":
            # For every entry to come: Go ignores it too.
            self.comment = _pax_records(content, self._last).get("comment", b"").decode("utf-8", "replace") or None
            return {}
        if info.type in (b"L", b"K"):
            return {"path" if info.type == b"L" else "linkpath": content.rstrip(b"\0")}
        return _pax_records(content, self._last)


def _header(info: tarfile.TarInfo, said: dict[str, bytes]) -> Header:
    name = said["path"].decode("utf-8", "surrogateescape") if "path" in said else info.name
    target = said["linkpath"].decode("utf-8", "surrogateescape") if "linkpath" in said else info.linkname
    size = info.size
    if "size" in said:
        if not said["size"].isdigit() or len(said["size"]) > 20:
            raise Invalid(f"The archive is no tar: {quoted(name)} has no size.")
        size = int(said["size"])
    sparse = info.type == tarfile.GNUTYPE_SPARSE or any(key.startswith("GNU.sparse.") for key in said)
    return Header(name, tarfile.GNUTYPE_SPARSE if sparse else info.type, info.mode, size, target, int(info.mtime))


def _pax_records(content: bytes, last: str) -> dict[str, bytes]:
    """The records ``LENGTH KEY=VALUE\\n`` of a PAX header."""
    records: dict[str, bytes] = {}
    at = 0
    while at < len(content):
        space = content.find(b" ", at, at + 10)
        length = content[at:space] if space > 0 else b""
        end = at + int(length) if length.isdigit() else 0
        if not space < end <= len(content) or content[end - 1 : end] != b"\n":
            raise Invalid(f"The archive is no tar: the extension header after {last} is damaged.")
        key, _, value = content[space + 1 : end - 1].partition(b"=")
        records[key.decode("utf-8", "replace")] = value
        at = end
    return records


def quoted(name: str) -> str:
    """*name* as a sentence can hold it, whatever bytes it is made of."""
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[:200])
    return f'"{shown}{"…" if len(text) > 200 else ""}"'

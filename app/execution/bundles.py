"""Unpacking the zip of a release, or of a bundle: the engine's program, and providers that came with it.

A bundle's providers lie as Terraform's old bundle tool put them (``plugins/HOST/NAMESPACE/TYPE/VERSION/PLATFORM/…``),
as a filesystem mirror has them (the same without ``plugins/``), or flat beside the program, as Terraform 0.12 wants
them.
Whatever else is in the zip stays there.
"""

from __future__ import annotations

import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from app.errors import StateroomError
from app.execution import cli_config
from app.execution.releases import ELF

MOST_ENTRIES = 20_000
_PIECE = 1 << 20
_FOLDERS = ("plugins", "providers")
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


class BadBundle(StateroomError):
    """The zip cannot be used; the sentence names the entry."""


@dataclass(frozen=True, slots=True)
class Contents:
    """Where the parts of an unpacked zip lie below its directory."""

    directory: Path

    @property
    def programs(self) -> Path:
        """The engine's program, and beside it providers in the flat layout: there Terraform 0.12 looks for them."""
        return self.directory / "bin"

    @property
    def providers(self) -> Path:
        """A filesystem mirror, if the zip had providers."""
        return self.directory / "providers"


def unpack(archive: Path, directory: Path, program: str, *, limit: int) -> None:
    """Unpack into the empty *directory*, at most *limit* bytes.  Raises BadBundle, and then the rest is for nothing."""
    contents = Contents(directory)
    contents.programs.mkdir(parents=True)
    room = limit
    try:
        with zipfile.ZipFile(archive) as packed:
            for entry, place in _places(packed, contents, program):
                room -= _write(packed, entry, place, room, limit)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise BadBundle(f"It is not a zip that can be read: {error}.") from error
    _check_program(contents.programs / program)
    cli_config.lay_flat(contents.programs, contents.providers)


def _places(packed: zipfile.ZipFile, contents: Contents, program: str) -> Iterator[tuple[zipfile.ZipInfo, Path]]:
    """Each entry that is wanted, and where it goes; every entry is looked at."""
    entries = packed.infolist()
    if len(entries) > MOST_ENTRIES:
        raise BadBundle(f"It has more than {MOST_ENTRIES} entries.")
    seen: set[Path] = set()
    for entry in entries:
        _check(entry)
        place = None if entry.is_dir() else _place(PurePosixPath(entry.filename), contents, program)
        if place is None:
            continue
        if place in seen:
            raise BadBundle(f"{_named(entry)} is there twice.")
        seen.add(place)
        yield entry, place


def _check(entry: zipfile.ZipInfo) -> None:
    name, kind = entry.filename, stat.S_IFMT(entry.external_attr >> 16)
    parts = PurePosixPath(name).parts
    if not parts and entry.is_dir():
        return
    if not parts or name.startswith("/") or "\\" in name or "\0" in name or ".." in parts or ":" in parts[0]:
        raise BadBundle(f"{_named(entry)} would lie outside of the directory it is unpacked into.")
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise BadBundle(f"{_named(entry)} is a link or a device; only files and directories are unpacked.")
    if entry.flag_bits & 1 or entry.compress_type not in _COMPRESSIONS:
        raise BadBundle(f"{_named(entry)} is encrypted, or packed in an unusual way.")
    if len(name) > 1024 or len(parts) > 16 or any(len(part.encode()) > 255 for part in parts):
        raise BadBundle(f"{_named(entry)} has too long a name.")


def _place(path: PurePosixPath, contents: Contents, program: str) -> Path | None:
    if path.parts == (program,):
        return contents.programs / program
    inner = path.relative_to(path.parts[0]) if path.parts[0] in _FOLDERS and len(path.parts) > 1 else path
    if cli_config.is_flat_provider(path.name) and inner.parts[:-1] in ((), (cli_config.this_platform(),)):
        return contents.programs / path.name
    is_mirror = len(inner.parts) in (4, 6) and "." in inner.parts[0]  # packed, or unpacked
    return contents.providers.joinpath(*inner.parts) if is_mirror else None


def _write(packed: zipfile.ZipFile, entry: zipfile.ZipInfo, place: Path, room: int, limit: int) -> int:
    """Write one entry and give its length; what the zip says that would be is not believed."""
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise BadBundle(f"{_named(entry)} would lie below what another entry says is a file.") from None
    length = 0
    with packed.open(entry) as source, place.open("xb") as target:
        while piece := source.read(_PIECE):
            length += len(piece)
            if length > room:
                raise BadBundle(
                    f"Unpacked it is larger than {limit} bytes (STATEROOM_MAX_RELEASE_UNPACKED), at {_named(entry)}."
                )
            target.write(piece)
    place.chmod(0o755)
    return length


def _check_program(program: Path) -> None:
    try:
        with program.open("rb") as file:
            is_program = file.read(4) == ELF
    except FileNotFoundError:
        raise BadBundle(f"It has no {program.name} at its top.") from None
    if not is_program:
        raise BadBundle(f"Its {program.name} is not a program of Linux.")


def _named(entry: zipfile.ZipInfo) -> str:
    return f"Its entry {entry.filename[:100]!r}"


def remove(directory: Path) -> None:
    shutil.rmtree(directory, ignore_errors=True)

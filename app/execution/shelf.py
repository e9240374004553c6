"""What a worker has fetched: each zip unpacked into a directory named by its SHA-256, whole or not at all.

::

    cache/releases/by-hash/SHA256/bin/terraform     and providers/, if the zip had some
    cache/releases/official/terraform/1.9.8         a link to one of those, once its signature was verified
    cache/releases/incoming/…                       what is on its way; cleared at the worker's start

A directory gets its name by a rename when everything in it is written and synced.  Two who bring the same zip at once
are no harm: the second finds it there.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from app.execution import bundles
from app.execution.bundles import Contents
from app.execution.releases import PROGRAMS, Release


@dataclass(frozen=True, slots=True)
class Shelf:
    directory: Path

    @property
    def _incoming(self) -> Path:
        return self.directory / "incoming"

    def clear(self) -> None:
        """Take away what was on its way when the worker before this one ended."""
        shutil.rmtree(self._incoming, ignore_errors=True)

    @contextmanager
    def incoming(self) -> Iterator[Path]:
        """An empty directory for what is on its way, gone afterwards."""
        place = self._incoming / secrets.token_hex(8)
        place.mkdir(mode=0o700, parents=True)
        try:
            yield place
        finally:
            shutil.rmtree(place, ignore_errors=True)

    def put(self, archive: Path, sha256: str, engine: str, *, limit: int) -> None:
        """Unpack *archive*, whose hash was verified.  Raises BadBundle."""
        unpacked = archive.with_name("unpacked")
        bundles.unpack(archive, unpacked, PROGRAMS[engine], limit=limit)
        _sync(unpacked)
        place = self._by_hash(sha256)
        place.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
        try:
            unpacked.rename(place)
        except OSError:
            if not place.is_dir():  # somebody else was quicker
                raise
        _sync_directory(place.parent)

    def get(self, sha256: str, engine: str, version: str) -> Release | None:
        """The release that came in the zip with that hash, if it is here."""
        contents = Contents(self._by_hash(sha256))
        program = contents.programs / PROGRAMS[engine]
        if not program.is_file():
            return None
        providers = contents.providers if contents.providers.is_dir() else None
        beside = tuple(sorted(path for path in contents.programs.iterdir() if path != program))
        return Release(engine, version, program, providers, beside)

    def remember(self, engine: str, version: str, sha256: str) -> None:
        """Write down that this zip is the official release of *version*."""
        link = self._official(engine, version)
        link.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
        fresh = link.with_name(f".{link.name}.{secrets.token_hex(4)}")
        fresh.symlink_to(os.path.relpath(self._by_hash(sha256), link.parent))
        fresh.rename(link)
        _sync_directory(link.parent)

    def official(self, engine: str, version: str) -> Release | None:
        """The official release of *version*, if it was fetched and verified before."""
        link = self._official(engine, version)
        return self.get(link.readlink().name, engine, version) if link.is_symlink() else None

    def _by_hash(self, sha256: str) -> Path:
        return self.directory / "by-hash" / sha256

    def _official(self, engine: str, version: str) -> Path:
        return self.directory / "official" / engine / version


def _sync(directory: Path) -> None:
    for folder, _, names in os.walk(directory):
        for name in names:
            with open(os.path.join(folder, name), "rb") as file:
                os.fsync(file.fileno())
        _sync_directory(Path(folder))


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""Which directories a configuration has: a workspace whose own is missing is to hear it before a run is made."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from app import settings
from app.configurations.archive import Archive, ArchiveLimits
from app.configurations.archive_tree import Path
from app.configurations.tar_stream import Write
from app.configurations.unpacking import Visitor
from app.storage import objects
from app.storage.models import StoredObject


async def missing(archive: StoredObject, wanted: Collection[str]) -> set[str]:
    """Those of the *wanted* working directories that *archive* does not hold; "" is its root and always there.

    What lies below a link is taken for there: terraform may find it, and says so if not.  Reads the whole archive once.
    """
    seen = _Directories({path for directory in wanted if (path := _parts(directory))})
    reading = Archive(ArchiveLimits.of(settings.current()), seen)
    async for chunk in objects.stream(archive):
        await asyncio.to_thread(reading.feed, chunk)
    reading.finish()
    return {directory for directory in wanted if _parts(directory) in seen.missing}


def _parts(directory: str) -> Path:
    return tuple(part for part in directory.split("/") if part not in ("", "."))


class _Directories(Visitor):
    def __init__(self, wanted: Collection[Path]) -> None:
        self.missing = set(wanted)
        self._near: Path = ()

    def directory(self, path: Path, mode: int) -> None:
        if path != self._near:
            self._near = path
            self.missing.difference_update(path[:length] for length in range(1, len(path) + 1))

    def file(self, path: Path, mode: int, size: int) -> Write:
        self.directory(path[:-1], 0)
        return len

    def link(self, path: Path, target: str) -> None:
        self.directory(path[:-1], 0)
        self.missing = {one for one in self.missing if one[: len(path)] != path}

    def hard_link(self, path: Path, source: Path) -> None:
        self.directory(path[:-1], 0)

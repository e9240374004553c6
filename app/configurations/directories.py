"""Which directories a configuration has: a workspace whose own is missing is to hear it before a run is made."""

from __future__ import annotations

import asyncio

from app import settings
from app.configurations.archive import Archive, ArchiveLimits
from app.configurations.archive_tree import Path
from app.configurations.tar_stream import Write
from app.configurations.unpacking import Visitor
from app.storage import objects
from app.storage.models import StoredObject


class Directories(Visitor):
    """Those of an archive that it visited."""

    def __init__(self) -> None:
        self._known: set[Path] = {()}
        self._links: set[Path] = set()

    def __contains__(self, directory: str) -> bool:
        """Whether there is a *directory* of this path from the root, which is "".

        What lies below a link is taken for there: terraform may find it, and says so if not.
        """
        path = tuple(part for part in directory.split("/") if part not in ("", "."))
        return path in self._known or any(path[:length] in self._links for length in range(1, len(path) + 1))

    def directory(self, path: Path, mode: int) -> None:
        while path not in self._known:
            self._known.add(path)
            path = path[:-1]

    def file(self, path: Path, mode: int, size: int) -> Write:
        self.directory(path[:-1], 0)
        return len

    def link(self, path: Path, target: str) -> None:
        self.directory(path[:-1], 0)
        self._links.add(path)

    def hard_link(self, path: Path, source: Path) -> None:
        self.directory(path[:-1], 0)


async def of(archive: StoredObject) -> Directories:
    """Reads the whole archive once."""
    found = Directories()
    reading = Archive(ArchiveLimits.of(settings.current()), found)
    async for chunk in objects.stream(archive):
        await asyncio.to_thread(reading.feed, chunk)
    reading.finish()
    return found

"""The versions a worker can run: what lies on it, and what it can bring when a job asks for it."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import structlog

from app import tool_versions
from app.errors import StateroomError
from app.execution import downloads
from app.execution.downloads import CannotInstall
from app.execution.publishers import PUBLISHERS
from app.execution.releases import Release
from app.execution.shelf import Shelf
from app.jobs import workers
from app.jobs.models import Job
from app.settings import Settings
from app.tool_versions import index
from app.tool_versions.models import ToolVersion
from app.workspaces import versions

log = structlog.get_logger(__name__)

#: Tells the run's log.
Say = Callable[[str], Awaitable[None]]


class Toolbox:
    """What jobs name is looked up when they wait, so a worker claims what it has, what it could get, and what nobody
    has any more: somebody must say so to the run."""

    def __init__(
        self,
        settings: Settings,
        installed: Mapping[str, Release],
        worker_id: str = "",
    ) -> None:
        self._settings, self._installed, self._worker_id = settings, installed, worker_id
        #: Called when there is something more to take jobs for.
        self.found: Callable[[], None] = lambda: None
        self._asked_for: frozenset[str] = frozenset()
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._shelf = Shelf(shelf_directory(settings))

    @property
    def names(self) -> frozenset[str]:
        """What we take jobs for: ``terraform/1.9.8``."""
        return self._asked_for.union(self._installed)

    def clear(self) -> None:
        """At the worker's start: take away what the one before left half done."""
        self._shelf.clear()

    async def look_around(self) -> None:
        """See which versions waiting jobs name that we do not have, and which of them are ours all the same."""
        waiting = Job.filter(closed_at=None, worker_id=None).distinct()
        pairs = [
            pair
            for pair in await waiting.values_list("engine", "terraform_version")
            if _name(*pair) not in self._installed
        ]
        asked_for = frozenset([_name(*pair) for pair in pairs if await self._is_ours(*pair)])
        if asked_for != self._asked_for:
            self._asked_for = asked_for
            await workers.take(self._worker_id, self.names)
            self.found()

    async def _is_ours(self, engine: str, version: str) -> bool:
        standing = await tool_versions.standing(engine, version)
        return standing.has_gone or standing.can_be_had_by(downloads=self._settings.downloads)

    async def get(self, engine: str, version: str, say: Say, go_on: Callable[[], bool]) -> Release:
        """That version, brought here first if need be.  Raises CannotInstall.

        A bundle goes before what lies on the machine: an administrator registered it for every worker.  Who wants a
        version that is on its way to somebody else here waits for it.
        """
        if not versions.carries_out_runs(engine, version):  # a bundle may have been registered before that was asked
            raise CannotInstall(
                f"{versions.NAMES[engine]} {version} carries out no runs here: that takes {versions.OLDEST[engine]} or"
                " newer. Set the workspace to such a version."
            )
        tool = await ToolVersion.get_or_none(engine=engine, version=version)
        lies_here = self._installed.get(_name(engine, version))
        if lies_here is not None and (tool is None or tool.official):
            return lies_here
        async with self._locks[_name(engine, version)]:
            if tool is not None and not tool.official:
                return await self._bundle(tool, say, go_on)
            return await self._release(tool, engine, version, say, go_on)

    async def _bundle(self, tool: ToolVersion, say: Say, go_on: Callable[[], bool]) -> Release:
        try:
            if not downloads.is_here(tool, self._shelf):
                await say(f"Downloading {versions.NAMES[tool.engine]} {tool.version} (a bundle of this site)...")
            found = await downloads.bundle(tool, self._settings, self._shelf, go_on)
        except CannotInstall as error:
            if go_on():
                await _note(tool, error.sentence)
            raise
        await _note(tool, None)
        return found

    async def _release(
        self, tool: ToolVersion | None, engine: str, version: str, say: Say, go_on: Callable[[], bool]
    ) -> Release:
        found = self._shelf.official(engine, version)
        if found is not None:
            return found
        if tool is None or not self._settings.downloads:
            raise CannotInstall(_gone(engine, version))
        await say(f"Downloading {versions.NAMES[engine]} {version}...")
        try:
            found = await downloads.release(engine, version, self._settings, self._shelf, go_on)
        except CannotInstall as error:
            if go_on():
                await _note(tool, error.sentence)
            raise
        await _note(tool, None)
        return found


async def read_indexes(settings: Settings) -> None:
    """Learn which official releases there are, where that was not done lately.  For every worker, now and then."""
    if not settings.downloads:
        return
    for engine, publisher in PUBLISHERS.items():
        url = publisher.index(settings)
        try:
            if not downloads.can_verify(engine, settings) or not await index.is_due(engine, url):
                continue
            found = await downloads.index(engine, settings)
        except StateroomError as error:
            log.warning("the index of releases could not be read", engine=engine, reason=error.sentence)
            await index.failed(engine, url, error.sentence)
            continue
        await index.learn(engine, url, found)
        log.info("read the index of releases", engine=engine, releases=len(found))


def shelf_directory(settings: Settings) -> Path:
    return settings.data_dir / "cache" / "releases"


async def _note(tool: ToolVersion, problem: str | None) -> None:
    """Let administrators see why a version cannot be installed, or that it can again."""
    if tool.problem != problem:
        await ToolVersion.filter(id=tool.id).update(problem=problem)


def _name(engine: str, version: str) -> str:
    return f"{engine}/{version}"


def _gone(engine: str, version: str) -> str:
    name = versions.NAMES.get(engine, engine)
    return (
        f"This worker no longer has {name} {version}, and cannot get it. Put it into the worker's tools directory, or"
        " set the workspace to a version that is there."
    )

"""What there is of an engine, and how one version of it can be had."""

from __future__ import annotations

from dataclasses import dataclass

from app.jobs import workers
from app.tool_versions.models import ReleaseIndex, ToolVersion
from app.workspaces.versions import Offer


async def offer(engine: str) -> Offer:
    """What workspaces and runs may name.  Official releases are among it while any worker may download them."""
    report = await workers.report()
    rows = await ToolVersion.filter(engine=engine).values_list("version", "official", "enabled")
    disabled = frozenset(version for version, _, enabled in rows if not enabled)
    bundles = {version for version, official, _ in rows if not official}
    releases = {version for version, official, _ in rows if official} if report.downloads else set()
    return Offer(
        here=frozenset(report.versions(engine) | bundles) - disabled,
        releases=frozenset(releases) - disabled,
        disabled=disabled,
        is_reported=report.is_there,
        unread=await _unread(engine) if report.downloads else None,
    )


async def _unread(engine: str) -> str | None:
    """Why the official releases are not all known to workers that may download them."""
    index = await ReleaseIndex.get_or_none(engine=engine)
    if index is None:
        return "the index of its official releases was not read yet, which takes a key that may sign them"
    return (
        f"the index of its official releases could not be read: {index.problem.rstrip('.')}" if index.problem else None
    )


@dataclass(frozen=True, slots=True)
class Standing:
    """How a version stands, whether or not new runs may name it: a run that began with it goes on."""

    tool: ToolVersion | None
    is_on_a_worker: bool
    may_be_downloaded: bool

    @property
    def is_bundle(self) -> bool:
        return self.tool is not None and not self.tool.official

    @property
    def is_release(self) -> bool:
        return self.tool is not None and self.tool.official

    @property
    def has_gone(self) -> bool:
        """No worker has it, and none could get it."""
        return not (self.is_on_a_worker or self.is_bundle or (self.is_release and self.may_be_downloaded))

    def can_be_had_by(self, *, downloads: bool) -> bool:
        """Whether a worker that does not have it could get it; *downloads*: it may fetch official releases."""
        return self.is_bundle or (self.is_release and downloads)


async def standing(engine: str, version: str) -> Standing:
    report = await workers.report()
    tool = await ToolVersion.get_or_none(engine=engine, version=version)
    return Standing(tool, version in report.versions(engine), report.downloads)

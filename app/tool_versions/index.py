"""The official releases there are, as the publishers' indexes say.

A worker reads an index now and then and writes down what it says; whoever wants to know asks the table, so no request
waits for a publisher.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

from app import clock, ids
from app.storage.database import in_transaction
from app.tool_versions.models import ReleaseIndex, ToolVersion
from app.workspaces import versions

#: How old what was read may be, and how soon a failed try is repeated.
FRESH, AGAIN = timedelta(hours=6), timedelta(minutes=10)


async def is_due(engine: str, url: str) -> bool:
    """Whether the index at *url* should be read (again)."""
    last = await ReleaseIndex.get_or_none(engine=engine)
    if last is None or last.url != url or last.read_at is None:
        return True
    age = clock.now() - last.read_at
    return not timedelta(0) <= age < (AGAIN if last.problem else FRESH)


async def failed(engine: str, url: str, problem: str) -> None:
    """The index at *url* could not be read.  What was read before is kept, if it came from there."""
    await _note(engine, url, problem)


async def learn(engine: str, url: str, found: Mapping[str, Sequence[str]]) -> None:
    """Write down which versions were *found*, and for which architectures of Linux.

    A release that is no longer there is forgotten, unless an administrator has disabled it: then it stays so.
    """
    async with in_transaction():
        known = {tool.version: tool for tool in await ToolVersion.filter(engine=engine)}
        gone = [tool.id for tool in known.values() if tool.official and tool.enabled and tool.version not in found]
        await ToolVersion.filter(id__in=gone).delete()
        await ToolVersion.bulk_create(
            [_release(engine, version, archs) for version, archs in found.items() if version not in known],
            ignore_conflicts=True,  # another worker may read the same index at the same time
        )
        await _note(engine, url, None)


def _release(engine: str, version: str, archs: Sequence[str]) -> ToolVersion:
    return ToolVersion(
        id=ids.new("tool_version"),
        engine=engine,
        version=version,
        archs=[{"os": "linux", "arch": arch} for arch in archs],
        official=True,
        beta=versions.is_prerelease(version),
        created_at=clock.now(),
    )


async def _note(engine: str, url: str, problem: str | None) -> None:
    await ReleaseIndex.update_or_create(
        defaults={"url": url, "read_at": clock.now(), "problem": problem}, engine=engine
    )

"""Workers that have reported themselves, and what they can run."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import timedelta

from tortoise.expressions import F

from app import clock
from app.jobs.models import Worker

#: A worker that said nothing for this long is taken for gone.
SILENCE = timedelta(minutes=1)


async def register(
    worker_id: str,
    name: str,
    slots: int,
    tools: Iterable[str],
    problem: str | None = None,
    *,
    downloads: bool = False,
) -> None:
    """Say that a worker is there, what it has (``"terraform/1.11.4"``), whether it *downloads* official releases, or
    why it takes nothing."""
    now = clock.now()
    await Worker.update_or_create(
        defaults={
            "name": name,
            "slots": slots,
            "tools": sorted(tools),
            "takes": None,
            "downloads": downloads,
            "problem": problem,
            "started_at": now,
            "seen_at": now,
        },
        id=worker_id,
    )


async def pulse(worker_id: str, problem: str | None = None, figures: str | None = None) -> None:
    """Say that it lives, what keeps it from working, if anything does, and what it measured."""
    await Worker.filter(id=worker_id).update(
        pulse=F("pulse") + 1, seen_at=clock.now(), problem=problem, figures=figures
    )


@dataclass(frozen=True, slots=True)
class Report:
    """What the workers have said."""

    tools: frozenset[str]
    downloads: bool
    is_there: bool
    """Whether any worker has said anything."""

    def versions(self, engine: str) -> frozenset[str]:
        """The versions of *engine* that any worker has said it has."""
        return frozenset(version for name, _, version in (tool.partition("/") for tool in self.tools) if name == engine)


async def report() -> Report:
    """What all workers together have, and whether one of them may download more."""
    told = await Worker.all().values_list("tools", "downloads")
    tools = frozenset(tool for tools, _ in told for tool in tools)
    return Report(tools, downloads=any(downloads for _, downloads in told), is_there=bool(told))


async def living() -> list[Worker]:
    """The workers that said lately that they live.  For what people are told; a lease is judged otherwise."""
    return await Worker.filter(seen_at__gte=clock.now() - SILENCE)


async def tools() -> set[str]:
    """What the living workers that take jobs take them for, as ``"terraform/1.11.4"``."""
    return {tool for worker in await living() if not worker.problem for tool in taken_by(worker)}


def taken_by(worker: Worker) -> Collection[str]:
    """What *worker* takes jobs for: what it has, and what it can get of what jobs wait for."""
    return worker.takes if worker.takes is not None else worker.tools


async def take(worker_id: str, tools: Iterable[str]) -> None:
    """Say what a worker takes jobs for now."""
    await Worker.filter(id=worker_id).update(takes=sorted(tools))

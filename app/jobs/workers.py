"""Workers that have reported themselves, and what they can run."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from tortoise.expressions import F

from app import clock
from app.jobs.models import Worker

#: A worker that said nothing for this long is taken for gone.
SILENCE = timedelta(minutes=1)


async def register(worker_id: str, name: str, slots: int, tools: Iterable[str], problem: str | None = None) -> None:
    """Say that a worker is there, what it can run (``"terraform/1.11.4"``), or why it takes nothing."""
    now = clock.now()
    await Worker.update_or_create(
        defaults={
            "name": name,
            "slots": slots,
            "tools": sorted(tools),
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


async def versions(engine: str) -> set[str]:
    """The versions of *engine* that any worker has said it has."""
    tools = {tool for worker in await Worker.all().only("id", "tools") for tool in worker.tools}
    return {version for name, _, version in (tool.partition("/") for tool in tools) if name == engine}


async def living() -> list[Worker]:
    """The workers that said lately that they live.  For what people are told; a lease is judged otherwise."""
    return await Worker.filter(seen_at__gte=clock.now() - SILENCE)


async def tools() -> set[str]:
    """What the living workers that take jobs can run, as ``"terraform/1.11.4"``."""
    return {tool for worker in await living() if not worker.problem for tool in worker.tools}

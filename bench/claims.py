"""Row: how long a claim takes with 10,000 jobs queued, beside the same with ten.

The product's own claim, on SQLite. Each round claims and gives back, so that the queue keeps its length; both queues
are of one installation each and are claimed from in turns.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

from app import clock, configurations, ids, organizations, settings, workspaces
from app.access.actors import SYSTEM
from app.jobs import claims
from app.jobs.models import Counter, Job
from app.runs.models import Run
from app.storage import database, keys, migrating
from bench import servers
from bench.figures import Effort, Figure, Goal, median, percentile, show

GOAL = Goal(1.5, on="ratio")
FEW, MANY = 10, 10_000
VERSION = "1.11.4"
PIECE = 1000


def measure(effort: Effort) -> Sequence[Figure]:
    rounds, each = effort.of(6, 2), effort.of(100, 40)
    many: list[float] = []
    few: list[float] = []
    with servers.scratch() as place:
        (place / "many").mkdir()
        (place / "few").mkdir()
        for number in range(rounds):
            many += asyncio.run(_milliseconds(place / "many", MANY if not number else 0, each))
            few += asyncio.run(_milliseconds(place / "few", FEW if not number else 0, each))
    note = f"median {show(median(many), 'ms')} and {show(median(few), 'ms')} of {len(many)} claims each"
    what = f"claim with {MANY} jobs queued, p95"
    ours, theirs = percentile(many, 0.95), percentile(few, 0.95)
    return [Figure(what, ours, "ms", GOAL, comparison=theirs, compared_with=f"{FEW} queued", note=note)]


async def _milliseconds(data: Path, queued: int, count: int) -> list[float]:
    """The times of *count* claims on the installation in *data*, after *queued* more jobs were put."""
    current = settings.load(data_dir=data, database_url=f"sqlite://{data / 'claims.db'}")
    async with database.connected(current):
        if queued:
            await migrating.migrate(current)
            await keys.open_ring(current)
            await _fill(queued)
        return [await _one() for _ in range(count)]


async def _one() -> float:
    started = time.perf_counter()
    claimed = await claims.claim("wrk-bench", {f"terraform/{VERSION}"})
    took = (time.perf_counter() - started) * 1000
    assert claimed is not None
    await claims.release(claimed.job.id, claimed.claim.number)
    return took


async def _fill(count: int) -> None:
    organization = await organizations.create(SYSTEM, "bench", owner=None)
    workspace = await workspaces.create(SYSTEM, organization, "bench", terraform_version=VERSION)
    version = await configurations.create(SYSTEM, workspace)
    now = clock.now()
    beside = {"organization_id": organization.id, "terraform_version": VERSION}
    runs = [
        Run(
            id=ids.new("run"),
            workspace_id=workspace.id,
            configuration_version_id=version.id,
            number=number,
            status="plan_queued",
            message="queued",
            created_at=now,
            **beside,
        )
        for number in range(1, count + 1)
    ]
    await Run.bulk_create(runs, batch_size=PIECE)
    jobs = [
        Job(id=ids.new("job"), run_id=run.id, phase="plan", priority=1, number=run.number, queued_at=now, **beside)
        for run in runs
    ]
    await Job.bulk_create(jobs, batch_size=PIECE)
    await Counter.create(name="jobs", value=count)

"""Jobs come and go: put where a phase waits for a slot, closed when its log is.

Called by whoever moves a run, inside that move's transaction, so run and job never disagree.
"""

from __future__ import annotations

from tortoise.expressions import F, Q

from app import clock, ids
from app.jobs.models import Counter, Job


async def put(
    *, run_id: str, organization_id: str, phase: str, priority: int, engine: str, terraform_version: str
) -> Job:
    """Let a phase of a run wait for a slot.  One that was claimed before keeps its number, hence its place, and waits
    since now."""
    job = await Job.filter(run_id=run_id, phase=phase, closed_at=None).first()
    if job is not None:
        await Job.filter(id=job.id).update(worker_id=None, lapsed=False, queued_at=clock.now())
        return job
    return await Job.create(
        id=ids.new("job"),
        run_id=run_id,
        organization_id=organization_id,
        phase=phase,
        priority=priority,
        number=await draw("jobs"),
        engine=engine,
        terraform_version=terraform_version,
        queued_at=clock.now(),
    )


async def drop(run_id: str, *, claimed: bool, unbegun: str | None) -> None:
    """Close the open jobs of a run that has ended: those nobody took and that of the phase *unbegun*, whoever took it;
    with *claimed* the others too.  Run tokens die with their job."""
    jobs = Job.filter(run_id=run_id, closed_at=None)
    if not claimed:
        jobs = jobs.filter(Q(worker_id=None) | Q(phase=unbegun))
    await jobs.update(closed_at=clock.now())


async def is_claimed(run_id: str, phase: str) -> bool:
    """Whether a worker has taken the open job of that phase of the run."""
    return await Job.filter(run_id=run_id, phase=phase, closed_at=None, worker_id__isnull=False).exists()


async def draw(name: str) -> int:
    """The next number of a counter.  Whoever drew one holds the counter until its transaction ends."""
    if not await Counter.filter(name=name).update(value=F("value") + 1):
        await Counter.get_or_create(name=name, defaults={"value": 0})
        await Counter.filter(name=name).update(value=F("value") + 1)
    counter = await Counter.get(name=name)
    return counter.value

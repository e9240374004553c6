"""Which waiting job a free slot takes, and how long it stays taken.

The claim order (`order.py`), in one transaction: priority class, then the organization with the fewest jobs running,
then the one served longest ago, then the job queued first.  Every tenth claim goes instead to the line (organization
and class) served longest ago, so none starves and priority gives away a tenth at most.

A lease is a number its holder raises; nobody compares wall clocks.  Each claim has a number too, and whatever a holder
writes is refused once another has claimed (`hold`).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from tortoise.expressions import F

from app import clock, measures, settings
from app.errors import StateroomError
from app.jobs import order
from app.jobs.models import Job, Line
from app.jobs.queue import draw
from app.storage import database
from app.storage.database import in_transaction


class Lost(StateroomError):
    """Another has claimed the job, or it is closed: its former holder has nothing more to say."""

    def __init__(self, job_id: str) -> None:
        super().__init__(f"The job {job_id} belongs to another worker now.")


@dataclass(frozen=True, slots=True)
class Claim:
    """What a holder shows whenever it writes."""

    job_id: str
    number: int
    worker_id: str


@dataclass(frozen=True, slots=True)
class Claimed:
    job: Job
    claim: Claim


@dataclass(frozen=True, slots=True)
class Wishes:
    """What people want of the run behind a job; read whenever its lease is renewed."""

    cancel_requested_at: datetime | None
    force_canceled_at: datetime | None


# Claiming


async def claim(worker_id: str, tools: Collection[str]) -> Claimed | None:
    """Take the job that is next for a worker that has *tools*, or None."""
    if not await order.heads(tools):
        return None
    started = clock.monotonic()
    claimed = await _claim(worker_id, tools)
    if claimed is not None:
        job = claimed.job
        measures.claim.observe(clock.monotonic() - started)
        waited = ((job.claimed_at or job.queued_at) - job.queued_at).total_seconds()
        measures.job_wait.labels(measures.CLASSES[job.priority]).observe(max(0.0, waited))
    return claimed


async def _claim(worker_id: str, tools: Collection[str]) -> Claimed | None:
    async with in_transaction():
        await database.lock("claims")
        turn = await draw("claims")
        job = await _choose(tools, turn)
        if job is None:
            return None
        await Line.filter(organization_id=job.organization_id, priority=job.priority).update(served=turn)
        return await _take(job, worker_id)


async def take_over(worker_id: str) -> list[Claimed]:
    """The jobs this worker held before it died, under new claims.  For a worker that starts on its old directory."""
    async with in_transaction():
        await database.lock("claims")
        jobs = await Job.filter(worker_id=worker_id, closed_at=None).order_by("number")
        return [await _take(job, worker_id) for job in jobs]


async def seize(job: Job, worker_id: str) -> Claimed | None:
    """Take a job whose lease stands still from its holder, to end it or let it wait again.  None: it moved."""
    async with in_transaction():
        await database.lock("claims")
        still = await Job.filter(id=job.id, claim=job.claim, lease=job.lease, closed_at=None).first()
        return await _take(still, worker_id) if still is not None else None


async def _take(job: Job, worker_id: str) -> Claimed:
    job.worker_id, job.claim, job.lease = worker_id, job.claim + 1, job.lease + 1
    job.lapsed, job.claimed_at = False, clock.now()
    await job.save(update_fields=["worker_id", "claim", "lease", "lapsed", "claimed_at"])
    return Claimed(job, Claim(job.id, job.claim, worker_id))


async def _choose(tools: Collection[str], turn: int) -> Job | None:
    waiting = order.firsts(await order.heads(tools))
    organizations = {organization for organization, _ in waiting}
    running = await order.running()
    waiting = order.within(waiting, await order.caps(organizations), running)
    if not waiting:
        return None
    served = await _served(waiting)
    return await Job.get(number=waiting[order.next_line(waiting, served, running, turn)])


async def _served(waiting: Collection[order.Line]) -> dict[order.Line, int]:
    """The number of the claim each line got last; 0 for a new line, which is written down."""
    organizations = {organization for organization, _ in waiting}
    lines = await Line.filter(organization_id__in=list(organizations))
    served = {(line.organization_id, line.priority): line.served for line in lines}
    for organization, priority in waiting:
        if (organization, priority) not in served:
            await Line.create(organization_id=organization, priority=priority)
            served[organization, priority] = 0
    return served


# Holding


async def renew(claim: Claim) -> Wishes | None:
    """Raise the lease.  None: it is another's now; else what people want of the run."""
    mine = Job.filter(id=claim.job_id, claim=claim.number, worker_id=claim.worker_id, closed_at=None)
    if not await mine.update(lease=F("lease") + 1, lapsed=False):
        return None
    wish = await Job.get(id=claim.job_id).values("run__cancel_requested_at", "run__force_canceled_at")
    return Wishes(wish["run__cancel_requested_at"], wish["run__force_canceled_at"])


async def hold(claim: Claim) -> None:
    """Inside a transaction: keep the job ours until it ends.  Raises Lost."""
    mine = Job.filter(id=claim.job_id, claim=claim.number, worker_id=claim.worker_id, closed_at=None)
    if await mine.select_for_update().only("id").first() is None:
        raise Lost(claim.job_id)


async def holds(claim: Claim) -> bool:
    return await Job.filter(id=claim.job_id, claim=claim.number, worker_id=claim.worker_id, closed_at=None).exists()


async def close(claim: Claim) -> bool:
    """The phase is over, its log closed; its run token dies.  False: another had it, or it was closed before."""
    mine = Job.filter(id=claim.job_id, claim=claim.number, worker_id=claim.worker_id, closed_at=None)
    return bool(await mine.update(closed_at=clock.now()))


async def release(job_id: str, claim_number: int) -> bool:
    """Let a claimed job wait again, without touching its run.  False if it was claimed anew meanwhile."""
    job = Job.filter(id=job_id, claim=claim_number, closed_at=None)
    return bool(await job.update(worker_id=None, lapsed=False, queued_at=clock.now()))


async def lapse(job: Job) -> bool:
    """End a lease that stands still: the job waits to be adopted.  False if its holder moved meanwhile."""
    still = Job.filter(id=job.id, claim=job.claim, lease=job.lease, closed_at=None)
    return bool(await still.update(lapsed=True))


# Leases that nobody renews


class Watch:
    """Sees which leases stand still.  Keep one a process: what it saw, and since when, is its own monotonic clock's."""

    def __init__(self) -> None:
        self._leases: dict[str, tuple[int, float]] = {}
        self._lives: dict[str, tuple[int, float]] = {}

    async def lapsed(self) -> list[Job]:
        """Claimed jobs whose lease has not moved for long enough to end it; the same until someone acts on it."""
        jobs = await Job.filter(closed_at=None, worker_id__isnull=False)
        now, limit = clock.monotonic(), settings.current().lease_expire
        self._leases = {job.id: _since(self._leases.get(job.id), job.lease, now) for job in jobs}
        return [job for job in jobs if now - self._leases[job.id][1] >= limit]

    async def given_up(self) -> list[Job]:
        """Lapsed jobs that showed no sign of life (neither lease nor run token) for the time an apply may wait to be
        adopted."""
        jobs = await Job.filter(closed_at=None, worker_id__isnull=False, lapsed=True)
        now, limit = clock.monotonic(), settings.current().adoption_wait
        self._lives = {job.id: _since(self._lives.get(job.id), job.lease + job.life, now) for job in jobs}
        return [job for job in jobs if now - self._lives[job.id][1] >= limit]


def _since(seen: tuple[int, float] | None, number: int, now: float) -> tuple[int, float]:
    return seen if seen is not None and seen[0] == number else (number, now)

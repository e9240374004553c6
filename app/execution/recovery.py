"""What becomes of phases whose worker was lost, and of a worker's phases when it comes back.

A plan is queued again, twice at most.  An apply is never repeated: its supervisor outlives the worker, so it waits to
be adopted by the next worker on the same data directory, and is given up only when nothing of it has shown a sign of
life for long.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Iterable
from pathlib import Path

import structlog

from app import measures
from app.errors import Unavailable
from app.execution import endings, states_left
from app.execution.orders import subject_of
from app.execution.station import Station
from app.execution.work import Overtaken, Work
from app.execution.workdir import Workdir
from app.jobs import claims
from app.jobs.claims import Claimed, Lost, Watch
from app.jobs.models import Job
from app.runs import lifecycle
from app.runs.models import Run
from app.storage.database import in_transaction
from app.supervisor import client, control
from app.supervisor.spec import Result, StateResult

log = structlog.get_logger(__name__)

_GIVEN_UP = (
    "The worker that carried this apply out was lost and did not come back. What terraform had finished since the last"
    " state version may not be in the state: compare the resources with it before the next run. A worker that starts on"
    " that machine's data directory collects what was left there."
)
_NEVER_STARTED = "The worker was lost before terraform started. Nothing was changed; start a new run."
_COLLECTED = "The apply's supervisor was lost. What it had journaled of the state was collected; look at the log's end."


async def after_loss(work: Work) -> None:
    """Our job was ended or taken by another.  If it was ended, what its log still lacks is sealed, where that can be.

    The state that an apply left is kept, however long the parts we depend on are away: who is told to stop meanwhile
    leaves its directory to the next start.
    """
    try:
        if work.has_log:
            await work.log.abandon()
    except Unavailable as error:
        log.warning("a lost job's log could not be sealed", job=work.claim.job_id, reason=error.sentence)
    result = await work.ended()
    if result is not None and result.state.left is not None and work.subject.is_apply:
        await work.persist(lambda: _save_left(work.subject.run, work.directory, result.state))


async def _save_left(run: Run, directory: Workdir, left: StateResult) -> None:
    """After a run ended, by force for example.  One that goes on in another's hands saves its state by itself."""
    await run.refresh_from_db(fields=["status"])
    if lifecycle.is_final(run):
        log.info("a run left a state", run=run.id, sentence=await states_left.collect(run, directory, left))
    else:
        await states_left.keep(run, directory, left)


# Jobs of other workers that nobody looks after


async def release_unbegun(job: Job) -> bool:
    """Let a job wait again that was claimed and whose phase never began.  False if its holder moved after all: it has
    the job's row while it begins, so the run is looked at with that row in our hands."""
    async with in_transaction():
        still = Job.filter(id=job.id, claim=job.claim, lease=job.lease, closed_at=None)
        if await still.select_for_update().only("id").first() is None:
            return False
        if lifecycle.queued_phase(await Run.get(id=job.run_id)) != job.phase:
            return False
        return await claims.release(job.id, job.claim)


class Sweeper:
    """Ends what nobody holds any more.  Every worker has one, each by its own clock; who is first does it."""

    def __init__(self, station: Station) -> None:
        self._station = station
        self._watch = Watch()

    async def sweep(self) -> None:
        for job in await self._watch.lapsed():
            if await self._end(job) and not job.lapsed:
                measures.leases_expired.labels(job.phase).inc()
        for job in await self._watch.given_up():
            run = await Run.get(id=job.run_id)
            if lifecycle.running_phase(run) == job.phase == "apply":
                await self._with(job, _give_up_apply)

    async def _end(self, job: Job) -> bool:
        """End a lease that stands still.  False if its holder moved after all, or another sweeper was first."""
        run = await Run.get(id=job.run_id)
        if lifecycle.queued_phase(run) == job.phase:
            return await release_unbegun(job)
        if lifecycle.running_phase(run) != job.phase:
            return await self._with(job, endings.leave)
        if job.phase != "apply":
            return await self._with(job, _take_plan)
        if not job.lapsed and await claims.lapse(job):
            log.warning("an apply's worker is lost; it waits to be adopted", run=run.id, job=job.id)
            return True
        return False

    async def _with(self, job: Job, ending: endings.Ending) -> bool:
        """Do *ending* under a claim of our own, unless its holder moved after all."""
        claimed = await claims.seize(job, self._station.worker_id)
        if claimed is None:
            return False
        work = Work(await subject_of(claimed.job), claimed.claim, self._station, slot=0)
        with structlog.contextvars.bound_contextvars(run=job.run_id, job=job.id):
            try:
                await ending(work)
            except (Lost, Overtaken):
                log.info("a lapsed job was ended by another")
        return True


async def _take_plan(work: Work) -> None:
    if work.has_log:
        await work.persist(work.log.open)
    await endings.lose_plan(work)


async def _give_up_apply(work: Work) -> None:
    await work.persist(work.log.open)
    await endings.finish_without_result(work, endings.verb_of_loss(work), _GIVEN_UP)


# This worker's own, when it starts


async def come_back(station: Station) -> list[Work]:
    """Take over this worker's open jobs: plans are queued again at once, what is over is ended, and what nobody needs
    is cleared away.  Gives the applies that slots are to look after."""
    kept = []
    for claimed in await claims.take_over(station.worker_id):
        with structlog.contextvars.bound_contextvars(run=claimed.job.run_id, job=claimed.job.id):
            try:
                work = await _come_back_to(claimed, station)
            except (Lost, Overtaken):
                log.info("a job of ours was ended by another meanwhile")
                continue
            if work is not None:
                kept.append(work)
    await _clear(station, kept)
    return kept


async def _come_back_to(claimed: Claimed, station: Station) -> Work | None:
    """End what can be ended of a job of our own; the apply that a slot is to look after."""
    subject = await subject_of(claimed.job)
    directory = _last_directory(station, claimed.job.id)
    work = Work(subject, claimed.claim, station, slot=0, adopted=directory)
    if lifecycle.queued_phase(subject.run) == claimed.job.phase:
        await claims.release(claimed.job.id, claimed.claim.number)
    elif lifecycle.running_phase(subject.run) != claimed.job.phase:
        await _leave(work)
    elif claimed.job.phase != "apply":
        await _take_plan(work)
    else:
        return work
    return None


async def _leave(work: Work) -> None:
    """The run has moved on.  What its phase wrote may be in nothing but the supervisor's file, if this worker died
    while Valkey was away, between the run's move and the end of the log."""
    directory = work.directory.control
    identity = control.identity(directory) if work.has_log and directory.is_dir() else None
    if identity is not None:
        await work.persist(work.log.open)
        await work.catch_up(directory, identity.log_offset)
    await endings.leave(work)


async def adopt(work: Work) -> None:
    """Go on with an apply that this machine began: follow its supervisor, or collect what a dead one left."""
    directory = work.directory.control
    await work.persist(work.log.open)
    identity = control.identity(directory) if directory.is_dir() else None
    if identity is None:
        await endings.finish_without_result(work, endings.verb_of_loss(work), _NEVER_STARTED)
        return
    supervised = client.adopt(directory)
    if supervised is not None:
        log.info("an apply was adopted", run=work.subject.run.id, pid=supervised.pid)
        result = await work.watch(supervised, identity.log_offset)
    else:
        result = await asyncio.to_thread(client.result_of, directory)
        await work.catch_up(directory, identity.log_offset)
    await endings.conclude_apply(work, _explained(result))


def _explained(result: Result) -> Result:
    if result.outcome != "lost":
        return result
    return dataclasses.replace(result, message=_COLLECTED)


def _last_directory(station: Station, job_id: str) -> Path | None:
    found = sorted(station.runs.glob(f"{job_id}.*"), key=lambda path: int(path.suffix[1:] or 0))
    return found[-1] if found else None


async def _clear(station: Station, adopted: Iterable[Work]) -> None:
    """Remove the directories of phases that are over, keeping a state nobody has saved."""
    needed = {path for work in adopted for path in (work.directory.control, work.directory.files)}
    directories = sorted(station.runs.iterdir())
    for path in directories:
        if control.is_supervised(path) and (identity := control.identity(path)) is not None:
            needed |= {path, Path(identity.state_directory).parent}
    for path in directories:
        if path in needed:
            continue
        try:
            await _keep_state(path)
            await asyncio.to_thread(Workdir(path).remove)
        except (Unavailable, OSError) as error:
            log.warning("a left directory could not be cleared", path=str(path), reason=str(error))


async def _keep_state(path: Path) -> None:
    identity = control.identity(path)
    if identity is None or identity.phase != "apply":
        return
    left = (await asyncio.to_thread(client.result_of, path)).state
    job = await Job.get_or_none(id=path.name.partition(".")[0])
    if left.left is not None and job is not None:
        run = await Run.get(id=job.run_id).select_related("workspace")
        await _save_left(run, Workdir(path), left)

"""Who waits for whom in a workspace.

Runs that may change state go one at a time, eldest first; plan-only runs and saved plans pass them.  Nobody passes a
person's lock.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from tortoise.expressions import Q

from app.access.models import User
from app.jobs.models import Job, Worker
from app.runs import lifecycle, moves
from app.runs.models import Run, RunEvent
from app.storage.database import in_transaction
from app.workspaces.models import Workspace

#: How many passing runs are let go in one transaction; a sweep or the next event takes the rest.
BATCH = 100


async def advance(workspace_id: str) -> None:
    """Start every pending run of the workspace that nothing stands in the way of.

    Safe to call at any time and from anywhere: whoever comes second finds nothing to do.
    """
    if not await Run.filter(workspace_id=workspace_id, status=lifecycle.PENDING).exists():
        return
    async with in_transaction():
        workspace = await Workspace.filter(id=workspace_id).select_for_update().first()
        spoken = await advance_within(workspace) if workspace is not None else []
    await moves.announce(spoken)


async def advance_within(workspace: Workspace) -> list[RunEvent]:
    """`advance` inside the caller's transaction, which holds the workspace's row; the caller announces."""
    if workspace.locked_by_user_id is not None or workspace.deleted_at is not None:
        return []
    pending = Run.filter(workspace_id=workspace.id, status=lifecycle.PENDING).order_by("number")
    ready = await pending.filter(Q(plan_only=True) | Q(save_plan=True)).limit(BATCH)
    if workspace.locked_by_run_id is None:
        ready += await pending.filter(plan_only=False, save_plan=False).limit(1)
    spoken = []
    for run in ready:
        spoken += await moves.speak(run, "enqueue")
    return spoken


async def advance_all() -> None:
    """`advance` every workspace in which something is pending; for the start of a worker and a slow sweep."""
    pending = Run.filter(status=lifecycle.PENDING).distinct()
    for workspace_id in await pending.values_list("workspace_id", flat=True):
        await advance(str(workspace_id))


async def on_move(event: RunEvent) -> None:
    """A run that ended may let the next one start."""
    run: Run = event.run
    if lifecycle.is_final(run):
        await advance(run.workspace_id)


async def current_run_id(workspace: Workspace) -> str | None:
    """The run the API calls `current-run`.

    That of the lock, else the one that held it last.  While a person holds the lock it is the first pending run, of any
    kind: so the CLI can say what it waits for.
    """
    if workspace.locked_by_user_id is not None:
        first = await Run.filter(workspace_id=workspace.id, status=lifecycle.PENDING).order_by("number").first()
        if first is not None:
            return first.id
    return workspace.current_run_id


@dataclass(frozen=True, slots=True)
class Waiting:
    """Why a run does not go on: a word for machines, the sentence for people, how many are ahead, since when."""

    reason: str
    sentence: str
    ahead: int = 0
    since: datetime | None = None


async def waiting(run: Run, workspace: Workspace) -> Waiting | None:
    """What *run* waits for; None if it works or has ended."""
    if lifecycle.is_pending(run):
        return await _waits_for_its_turn(run, workspace)
    phase = lifecycle.queued_phase(run)
    return await _waits_for_a_worker(run, phase) if phase is not None else None


async def _waits_for_its_turn(run: Run, workspace: Workspace) -> Waiting | None:
    if workspace.locked_by_user_id is not None:
        holder = await User.get_or_none(id=workspace.locked_by_user_id)
        name = holder.username if holder else "a person"
        why = f": ‘{workspace.locked_reason}’" if workspace.locked_reason else ""
        return Waiting("locked", f"Locked by {name}{why}", since=workspace.locked_at)
    if lifecycle.passes_queue(run) or workspace.locked_by_run_id is None:
        return None
    ahead = await Run.filter(
        workspace_id=workspace.id,
        status=lifecycle.PENDING,
        plan_only=False,
        save_plan=False,
        number__lt=run.number,
    ).count()
    holder_run = await Run.get_or_none(id=workspace.locked_by_run_id)
    what = f"‘{holder_run.message}’" if holder_run else "another run"
    if holder_run is not None and lifecycle.is_confirmable(holder_run):
        sentence, reason = f"Waiting for {what} to be confirmed or discarded", "behind-run"
    else:
        doing = lifecycle.label(holder_run).lower() if holder_run else "at work"
        sentence, reason = f"Waiting for {what}, which is {doing}", "behind-running"
    return Waiting(reason, sentence, ahead=ahead + 1, since=workspace.locked_at)


async def _waits_for_a_worker(run: Run, phase: str) -> Waiting | None:
    job = await Job.filter(run_id=run.id, phase=phase, closed_at=None).first()
    if job is None or job.worker_id is not None:
        return None
    ahead = await jobs_ahead(job)
    able = [worker for worker in await Worker.all() if f"{job.engine}/{job.terraform_version}" in worker.tools]
    if not able:
        sentence = (
            f"No worker has {job.engine} {job.terraform_version}."
            " An administrator can start one with `stateroom worker`"
        )
        return Waiting("no-worker", sentence, since=job.queued_at)
    well = [worker for worker in able if not worker.problem]
    if not well:
        return Waiting("no-worker", f"No worker takes jobs: {able[0].problem}", since=job.queued_at)
    slots = sum(worker.slots for worker in well)
    return Waiting("slots", f"All {slots} workers are busy; {ahead} ahead", ahead=ahead, since=job.queued_at)


async def jobs_ahead(job: Job) -> int:
    """How many waiting jobs would be taken before it if classes alone decided."""
    waiting_jobs = Job.filter(closed_at=None, worker_id=None)
    return await waiting_jobs.filter(
        Q(priority__lt=job.priority) | Q(priority=job.priority, number__lt=job.number)
    ).count()

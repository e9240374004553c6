"""The one place that changes a run.

A move and whatever follows by itself is one transaction: two callers can never both succeed, and nobody can act in the
gap before an automatic step.  What must hold in the new status (lock, job) is written in it too.
"""

from __future__ import annotations

from typing import Any

import structlog
from tortoise.expressions import F

from app import clock, events, ids
from app.access.actors import SYSTEM, Actor
from app.errors import Conflict, Invalid
from app.jobs import claims
from app.jobs import queue as jobs
from app.jobs.claims import Claim
from app.plain_text import plain
from app.runs import lifecycle, stages
from app.runs.models import Comment, Run, RunEvent
from app.states import history
from app.storage.database import in_transaction
from app.workspaces import locking
from app.workspaces.models import Workspace

log = structlog.get_logger(__name__)

#: The characters of the longest comment.
MOST_COMMENT = 32_768


async def move(
    run: Run,
    verb: str,
    *,
    by: Actor = SYSTEM,
    claim: Claim | None = None,
    comment: str | None = None,
    why: str = "",
    **changes: Any,
) -> None:
    """Speak *verb* to *run*, and whatever follows by itself: once, recorded, then announced.

    *why* is the sentence its event tells; *changes* are columns of the run written in the same update.  With *claim*
    the move is refused (`claims.Lost`) once another worker has taken the job.  Raises Conflict if the run moved on
    meanwhile; nothing is changed then.
    """
    async with in_transaction():
        spoken = await speak(run, verb, by=by, claim=claim, comment=comment, why=why, **changes)
    await announce(spoken)


async def speak(
    run: Run,
    verb: str,
    *,
    by: Actor = SYSTEM,
    claim: Claim | None = None,
    comment: str | None = None,
    why: str = "",
    **changes: Any,
) -> list[RunEvent]:
    """`move` inside the caller's transaction; the caller announces what is returned once that has ended."""
    await Workspace.filter(id=run.workspace_id).select_for_update().only("id").first()
    if claim is not None:
        await claims.hold(claim)
    spoken = []
    word: str | None = verb
    while word is not None:
        spoken.append(await _step(run, word, by, why, comment, changes))
        word, by, why, comment, changes = lifecycle.next_verb(run), SYSTEM, "", None, {}
    return spoken


async def note(run: Run, action: str, *, by: Actor, description: str = "", comment: str | None = None) -> RunEvent:
    """Record something that happened to *run* without moving it, inside the caller's transaction."""
    await Run.filter(id=run.id).update(event_count=F("event_count") + 1)
    await run.refresh_from_db(fields=["event_count", "status", "status_timestamps"])
    return await _record(run, action, by, description, comment)


async def announce(spoken: list[RunEvent]) -> None:
    """Tell whoever listens, and remember that they were told; what is not remembered a sweep announces again."""
    for event in spoken:
        log.info("run moved", run=event.run.id, action=event.action, status=event.status, actor=event.actor_id)
    heard = [event.id for event in spoken if await events.announce(event)]
    if heard:
        await RunEvent.filter(id__in=heard).update(announced_at=clock.now())


async def announce_forgotten() -> int:
    """Announce what nobody announced, because the process that should have has died.  How many there were."""
    forgotten = await RunEvent.filter(announced_at=None).order_by("created_at").limit(500).prefetch_related("run")
    await announce(forgotten)
    return len(forgotten)


async def _step(run: Run, verb: str, by: Actor, why: str, comment: str | None, changes: dict[str, Any]) -> RunEvent:
    before, status = run.status, lifecycle.target(run.status, verb)
    written = {
        **changes,
        "status": status.value,
        "status_timestamps": lifecycle.stamped(run, status, verb, is_forced="force_canceled_at" in changes),
        "event_count": run.event_count + 1,
    }
    unmoved = Run.filter(id=run.id, status=before, event_count=run.event_count)
    if not await unmoved.update(**written):
        raise Conflict(f"{run.id} moved on while it was asked to {verb}. Look at it again, then decide.")
    run.update_from_dict(written)
    await _enter(run, before)
    return await _record(run, verb, by, why, comment)


async def _enter(run: Run, before: str) -> None:
    """Make true what must hold in the run's present status, which it reached from *before*."""
    await stages.entered(run, before)
    if lifecycle.holds_lock(run):
        await _take_lock(run)
    if lifecycle.is_final(run):
        await _free_lock(run)
        is_forced = run.force_canceled_at is not None
        await jobs.drop(run.id, claimed=is_forced, unbegun=lifecycle.queued_in(before))
    phase = lifecycle.new_job(run, before)
    if phase is not None:
        await jobs.put(
            run_id=run.id,
            organization_id=run.organization_id,
            phase=phase,
            priority=lifecycle.priority(run, phase),
            engine=run.engine,
            terraform_version=run.terraform_version,
        )


async def _take_lock(run: Run) -> None:
    workspace_id = run.workspace_id
    held = Workspace.filter(id=workspace_id, locked_by_run_id=run.id)
    if await held.exists():
        return
    free = Workspace.filter(id=workspace_id, locked_by_run_id=None, locked_by_user_id=None, deleted_at=None)
    now = clock.now()
    if not await free.update(locked_by_run_id=run.id, locked_at=now, current_run_id=run.id, latest_change_at=now):
        workspace = await Workspace.get(id=workspace_id)
        if workspace.deleted_at is not None:
            raise Conflict(f"The workspace {workspace.name} was deleted meanwhile.")
        raise await locking.refusal(workspace)


async def _free_lock(run: Run) -> None:
    """Free the workspace if this run holds it; a run never frees a lock it does not hold."""
    held = await Workspace.filter(id=run.workspace_id, locked_by_run_id=run.id).first()
    if held is None:
        return
    await history.settle(held)
    await Workspace.filter(id=held.id).update(
        locked_by_run_id=None, locked_at=None, locked_reason=None, latest_change_at=clock.now()
    )


async def _record(run: Run, action: str, by: Actor, description: str, comment: str | None) -> RunEvent:
    now = clock.now()
    remark = None
    comment = checked(comment) if comment is not None else None
    if comment and by.id is not None:
        remark = await Comment.create(
            id=ids.new("comment"), run_id=run.id, body=comment, created_by_id=by.id, created_at=now
        )
    event = await RunEvent.create(
        id=ids.new("run_event"),
        run_id=run.id,
        number=run.event_count,
        action=action,
        status=run.status,
        description=description,
        actor_id=by.id,
        comment_id=remark.id if remark else None,
        created_at=now,
    )
    event.run = run
    return event


def checked(comment: str, *, field: str = "comment") -> str:
    """What is kept of *comment*.  Raises Invalid about *field* if it is too long."""
    if len(comment) > MOST_COMMENT:
        raise Invalid(f"A comment has at most {MOST_COMMENT} characters; this one has {len(comment)}.", field=field)
    return plain(comment).strip()

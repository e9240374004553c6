"""What can be done with runs that exist: confirm, discard, cancel, force-cancel, force-execute, comment."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta

from tortoise.queryset import QuerySet

from app import clock, events, settings
from app.access.actors import Actor, Kind
from app.access.permissions import Level, Place, level_of, require
from app.errors import Conflict, Forbidden, Invalid, NotFound
from app.runs import lifecycle, moves, outdated, queue
from app.runs.canceling import cancel_within
from app.runs.models import Apply, Comment, Plan, Run
from app.states.models import StateVersion
from app.storage import hot
from app.storage.database import in_transaction
from app.workspaces import locking
from app.workspaces.models import Workspace


def visible(actor: Actor) -> QuerySet[Run]:
    """The runs *actor* may know of."""
    runs = Run.filter(workspace__deleted_at=None)
    if actor.kind is Kind.SYSTEM:
        return runs
    return runs.filter(organization_id__in=list(actor.organization_ids))


async def find(actor: Actor, run_id: str) -> Run:
    """The run, its workspace loaded.  Raises NotFound, Forbidden."""
    run = await visible(actor).filter(id=run_id).select_related("workspace").first()
    if run is None:
        raise NotFound("There is no such run, or you may not see it.")
    await require(actor, "run:read", run.workspace)
    return run


async def show(actor: Actor, run_id: str) -> Run:
    """`find` without the workspace, by one quick query: every client asks this every second."""
    run = await hot.first(
        Run,
        "it.id = {} AND EXISTS (SELECT 1 FROM workspaces w WHERE w.id = it.workspace_id AND w.deleted_at IS NULL)",
        run_id,
        may_be_outdated=outdated.MAY_BE,
    )
    if run is None or level_of(actor, run.organization_id) is Level.NONE:
        raise NotFound("There is no such run, or you may not see it.")
    await require(actor, "run:read", Place(run.workspace_id, run.organization_id))
    return run


async def confirm(actor: Actor, run: Run, comment: str | None = None) -> None:
    """Let the plan be applied.  A saved plan takes the workspace's lock, which must be free."""
    await require(actor, "run:apply", await _workspace(run))
    if not lifecycle.is_confirmable(run):
        raise Conflict(f"The run {lifecycle.phrase(run)} and does not wait for a confirmation.")
    async with in_transaction():
        if run.save_plan:
            await _require_its_state(run)
        spoken = await moves.speak(run, "confirm", by=actor, comment=comment, confirmed_by_id=actor.id)
    await moves.announce(spoken)


async def discard(actor: Actor, run: Run, comment: str | None = None) -> None:
    """Skip what is left of a run that waits."""
    await require(actor, "run:apply", await _workspace(run))
    if not lifecycle.is_discardable(run):
        raise Conflict(f"The run {lifecycle.phrase(run)} and cannot be discarded.")
    await moves.move(run, "discard", by=actor, comment=comment)


async def cancel(actor: Actor, run: Run, comment: str | None = None) -> None:
    """End a run: at once where nobody works on it, else by interrupting terraform, which saves its state.

    Who started a plan-only run may cancel it without the right to apply.
    """
    workspace = await _workspace(run)
    started_it = run.plan_only and run.created_by_id == actor.id and actor.id is not None
    await require(actor, "run:queue" if started_it else "run:apply", workspace)
    async with in_transaction():
        spoken = await cancel_within(run, by=actor, comment=comment)
    await moves.announce(spoken)
    await events.run_wished.announce(run)


async def force_cancel(actor: Actor, run: Run, comment: str | None = None) -> None:
    """End a run now, without its worker: its token is dead and the workspace free before anything is killed.

    What terraform was doing may be lost; allowed only after a cancel and its cool-off.
    """
    await require(actor, "run:force-cancel", await _workspace(run))
    if run.force_cancel_available_at is None or lifecycle.is_final(run):
        raise Conflict("A run can be force-canceled only after a cancel, while it still has not ended.")
    if not lifecycle.allows(run, "stop"):
        raise Conflict(f"The run {lifecycle.phrase(run)} and cannot be canceled. Discard it, or let it be applied.")
    if not lifecycle.is_force_cancelable(run):
        raise Conflict(
            f"Give the cancel until {clock.wire(run.force_cancel_available_at)} to save the state; then force it."
        )
    now = clock.now()
    async with in_transaction():
        spoken = await moves.speak(run, "stop", by=actor, comment=comment, force_canceled_at=now)
        await Plan.filter(run_id=run.id, log_closed_at=None).update(log_closed_at=now)
        await Apply.filter(run_id=run.id, log_closed_at=None).update(log_closed_at=now)
    await moves.announce(spoken)
    await events.run_wished.announce(run)


async def force_execute(actor: Actor, run: Run, comment: str | None = None) -> None:
    """Let a pending run go next: the run that holds its workspace and those pending before it are discarded.

    It goes at once, however many these are: where they are thousands, a worker discards the rest, of which none starts
    any more.  Saved plans stay, and nobody passes a person's lock.
    """
    await require(actor, "run:apply", await _workspace(run))
    async with in_transaction():
        workspace = await Workspace.filter(id=run.workspace_id).select_for_update().get()
        await run.refresh_from_db(fields=["status", "status_timestamps", "event_count"])
        holder = await _discardable_holder(run, workspace)
        spoken = [await moves.note(run, "force_execute", by=actor, comment=comment)]
        spoken += await moves.speak(holder, "discard", by=actor)
        spoken += await queue.put_aside(workspace, run, by=actor)
        spoken += await queue.advance_within(await Workspace.get(id=workspace.id))
    await moves.announce(spoken)


async def _discardable_holder(run: Run, workspace: Workspace) -> Run:
    """The run in the way of *run*, if it can be put aside."""
    if workspace.locked_by_user_id is not None:
        name = await locking.holder(workspace)
        raise Conflict(f"The workspace is locked by {name}; once it is unlocked, its runs go on.")
    if not lifecycle.is_pending(run) or lifecycle.passes_queue(run) or workspace.locked_by_run_id is None:
        raise Forbidden("Only a run that is pending behind another can be force-executed.")
    if run.number < workspace.executes_from:
        raise Conflict("Another run was executed by force, and those before it are being discarded, this one too.")
    holder = await Run.get(id=workspace.locked_by_run_id)
    if not lifecycle.is_discardable(holder):
        raise Conflict(f"{holder.id} holds the workspace and {lifecycle.phrase(holder)}: cancel it, or wait for it.")
    return holder


async def comment(actor: Actor, run: Run, body: str) -> Comment:
    """Write a remark on a run; it appears in its timeline."""
    await require(actor, "run:comment", await _workspace(run))
    if not moves.checked(body, field="body"):
        raise Invalid("A comment needs a text.", field="body")
    if actor.id is None:
        raise Forbidden("Only a person may comment on a run.", permission="run:comment")
    async with in_transaction():
        event = await moves.note(run, "comment", by=actor, comment=body)
    await moves.announce([event])
    return await Comment.get(id=event.comment_id)


async def discard_stale(workspace_id: str) -> None:
    """Discard the saved plans of a workspace that were made against a state that is no longer current."""
    workspace = await Workspace.get(id=workspace_id)
    saved = Run.filter(workspace_id=workspace_id, status=lifecycle.SAVED)
    for run in await saved:
        if run.input_state_version_id != workspace.current_state_version_id:
            with suppress(Conflict):  # somebody confirmed or discarded it first: it is theirs
                await moves.move(run, "discard", why=await _moved(run, workspace))


async def discard_all_stale() -> None:
    """`discard_stale` everywhere: who made a state current may have died before it could say so, and a plan may have
    been saved only after that."""
    saved = Run.filter(status=lifecycle.SAVED, workspace__deleted_at=None).distinct()
    for workspace_id in await saved.values_list("workspace_id", flat=True):
        await discard_stale(str(workspace_id))


async def discard_expired() -> int:
    """Discard the saved plans nobody confirmed in time.  How many there were."""
    until, count = clock.now() - timedelta(seconds=settings.current().saved_plan_life), 0
    for run in await Run.filter(status=lifecycle.SAVED, created_at__lt=until).order_by("created_at").limit(100):
        if lifecycle.saved_at(run) < clock.wire(until):
            with suppress(Conflict):
                await moves.move(run, "discard", why="Nobody confirmed this saved plan in time")
                count += 1
    return count


async def _require_its_state(run: Run) -> None:
    """A saved plan is applied only to the state it was made with.  Holds the workspace's row."""
    workspace = await Workspace.filter(id=run.workspace_id).select_for_update().get()
    if run.input_state_version_id != workspace.current_state_version_id:
        raise Conflict(f"{await _moved(run, workspace)}, so it cannot be applied. Make a new plan.")


async def _moved(run: Run, workspace: Workspace) -> str:
    """What the plan of *run* was made with, and what is there now."""
    before = await StateVersion.get_or_none(id=run.input_state_version_id)
    now = await StateVersion.get_or_none(id=workspace.current_state_version_id)
    return outdated.state_moved(before.serial if before else None, now.serial if now else None)


async def _workspace(run: Run) -> Workspace:
    return await Workspace.get(id=run.workspace_id)

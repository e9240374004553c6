"""What becomes of the runs of a workspace that was deleted: each of them ends, whatever it waits for.

Nobody sees them any more, so they are ended in steps after the deletion.  Who dies in between leaves the rest to a
sweep.
"""

from __future__ import annotations

from functools import partial

from app import events
from app.runs import lifecycle, moves, queue
from app.runs.canceling import cancel_within
from app.runs.models import Run, RunEvent
from app.storage.database import in_transaction
from app.workspaces.models import Workspace


async def on_deletion(workspace_id: str) -> None:
    """End the first runs of a deleted workspace, which are mostly all; who asked for the deletion waits for no more."""
    await _end_some(workspace_id)


async def on_deletion_of_organization(organization_id: str) -> None:
    """`on_deletion`, for the workspaces that were deleted with their organization."""
    unended = Run.filter(organization_id=organization_id, status__in=lifecycle.GROUPS["non_final"])
    for workspace_id in set(await unended.limit(queue.STEP).values_list("workspace_id", flat=True)):
        await _end_some(str(workspace_id))


async def end_forgotten() -> None:
    """End every run of every deleted workspace.  Safe to call at any time: where nothing is left, nothing happens."""
    unended = sorted(lifecycle.GROUPS["non_final"])
    for workspace_id in await queue.workspaces_with(*unended, condition="workspaces.deleted_at IS NOT NULL"):
        await queue.in_steps(partial(_end_some, workspace_id))


async def _end_some(workspace_id: str) -> bool:
    """End some runs of a workspace that is no more; one that a worker has is canceled, and its worker hears of it."""
    async with in_transaction():
        gone = Workspace.filter(id=workspace_id, deleted_at__isnull=False)
        if await gone.select_for_update().only("id").first() is None:
            return False
        unended = Run.filter(workspace_id=workspace_id, status__in=lifecycle.GROUPS["non_final"])
        found = await unended.filter(cancel_requested_at=None).order_by("number").limit(queue.STEP)
        spoken = [event for run in found for event in await _end(run)]
    await moves.announce(spoken)
    for run in found:
        if not lifecycle.is_final(run):
            await events.run_wished.announce(run)
    return bool(found)


async def _end(run: Run) -> list[RunEvent]:
    if lifecycle.is_discardable(run):
        return await moves.speak(run, "discard")
    return await cancel_within(run)

"""How a run is ended before its time: at once where no phase has begun, else by a wish its worker hears.

A worker that has claimed a phase and not begun it finds the run ended when it asks to begin, which is under the same
lock.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from app import clock, settings
from app.access.actors import SYSTEM, Actor
from app.errors import Conflict
from app.jobs import queue as jobs
from app.runs import lifecycle, moves
from app.runs.models import Run, RunEvent
from app.workspaces.models import Workspace


async def cancel_within(run: Run, *, by: Actor = SYSTEM, comment: str | None = None) -> list[RunEvent]:
    """Cancel *run* inside the caller's transaction; nothing is done where that was asked before.

    Once the transaction has ended the caller announces what is returned, and then the wish (`events.run_wished`).
    Raises Conflict where nothing can be canceled.
    """
    now = clock.now()
    wish: dict[str, Any] = {
        "cancel_requested_at": now,
        "force_cancel_available_at": now + timedelta(seconds=settings.current().force_cancel_cooloff),
        "canceled_by_id": by.id,
    }
    await Workspace.filter(id=run.workspace_id).select_for_update().only("id").first()
    await run.refresh_from_db(fields=["status", "status_timestamps", "event_count", "cancel_requested_at"])
    if run.cancel_requested_at is not None and not lifecycle.is_final(run):
        return []
    if not lifecycle.is_cancelable(run):
        raise Conflict(f"The run {lifecycle.phrase(run)} and cannot be canceled.")
    phase = lifecycle.running_phase(run)
    if phase is None or not await jobs.is_claimed(run.id, phase):
        return await moves.speak(run, "stop", by=by, comment=comment, **wish)
    unmoved = Run.filter(id=run.id, status=run.status, cancel_requested_at=None)
    if not await unmoved.update(**wish):
        raise Conflict(f"{run.id} moved on meanwhile. Look at it again, then decide.")
    run.update_from_dict(wish)
    return [await moves.note(run, "cancel", by=by, comment=comment)]

"""How a run is ended before its time: at once where nobody works on it, else by a wish its worker hears."""

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
    """Cancel *run* inside the caller's transaction.  Once that has ended the caller announces what is returned, and
    then the wish (`events.run_wished`)."""
    now = clock.now()
    wish: dict[str, Any] = {
        "cancel_requested_at": now,
        "force_cancel_available_at": now + timedelta(seconds=settings.current().force_cancel_cooloff),
        "canceled_by_id": by.id,
    }
    await Workspace.filter(id=run.workspace_id).select_for_update().only("id").first()
    phase = lifecycle.phase_at_hand(run)
    if phase is None or not await jobs.is_claimed(run.id, phase):
        return await moves.speak(run, "stop", by=by, comment=comment, **wish)
    unmoved = Run.filter(id=run.id, status=run.status, cancel_requested_at=None)
    if not await unmoved.update(**wish):
        raise Conflict(f"{run.id} moved on meanwhile. Look at it again, then decide.")
    run.update_from_dict(wish)
    return [await moves.note(run, "cancel", by=by, comment=comment)]

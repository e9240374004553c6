"""Who waits for whom in a workspace.

Runs that may change state go one at a time, eldest first; plan-only runs and saved plans pass them.  Nobody passes a
person's lock.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

from app import clock
from app.access.actors import SYSTEM, Actor
from app.runs import lifecycle, moves
from app.runs.models import Run, RunEvent
from app.storage import database
from app.storage.database import in_transaction
from app.workspaces.models import Workspace

#: How many passing runs are let go in one transaction; a sweep or the next event takes the rest.
BATCH = 100
#: How many runs are ended in one transaction where thousands may be: SQLite has one writer, and all wait for it.
STEP = 20
#: The workspaces in which a run has one of some statuses: a step through the index for each, not for each run.
_WITH = """
WITH RECURSIVE wanted(status) AS (VALUES {0}), found(status, id) AS (
    SELECT status, (SELECT min(workspace_id) FROM runs WHERE runs.status = wanted.status) FROM wanted
    UNION ALL
    SELECT status, (SELECT min(workspace_id) FROM runs WHERE runs.status = found.status AND workspace_id > found.id)
    FROM found WHERE found.id IS NOT NULL
)
SELECT DISTINCT found.id FROM found JOIN workspaces ON workspaces.id = found.id WHERE {1}
"""


async def advance(workspace_id: str) -> None:
    """Start every pending run of the workspace that nothing stands in the way of.

    Safe to call at any time and from anywhere: whoever comes second finds nothing to do.
    """
    if not await Run.filter(workspace_id=workspace_id, status=lifecycle.IN_QUEUE).exists():
        return
    async with in_transaction():
        workspace = await Workspace.filter(id=workspace_id).select_for_update().first()
        spoken = await advance_within(workspace) if workspace is not None else []
    await moves.announce(spoken)


async def advance_within(workspace: Workspace) -> list[RunEvent]:
    """`advance` inside the caller's transaction, which holds the workspace's row; the caller announces."""
    if workspace.locked_by_user_id is not None or workspace.deleted_at is not None:
        return []
    # Three equalities each, so that the index says which is first: thousands may be pending behind it.
    pending = Run.filter(workspace_id=workspace.id, status=lifecycle.IN_QUEUE).order_by("number")
    ready = await pending.filter(plan_only=True, save_plan=False).limit(BATCH)
    ready += await pending.filter(plan_only=False, save_plan=True).limit(BATCH)
    if workspace.locked_by_run_id is None:
        ready += await pending.filter(plan_only=False, save_plan=False, number__gte=workspace.executes_from).limit(1)
    spoken = []
    for run in ready:
        spoken += await moves.speak(run, lifecycle.first_verb(run))
    return spoken


async def advance_all() -> None:
    """`advance` every workspace in which something is pending; for the start of a worker and a slow sweep."""
    for workspace_id in await workspaces_with(lifecycle.IN_QUEUE):
        await advance(workspace_id)


async def workspaces_with(*statuses: str, condition: str = "workspaces.deleted_at IS NULL") -> list[str]:
    """The workspaces in which a run has one of *statuses*, of those that fulfil *condition*."""
    sign = "?" if database.dialect() == "sqlite" else "$"
    marks = ", ".join(f"({sign}{number})" for number in range(1, len(statuses) + 1))
    rows = await database.client().execute_query_dict(_WITH.format(marks, condition), [str(one) for one in statuses])
    return [row["id"] for row in rows]


async def on_move(event: RunEvent) -> None:
    """A run that ended may let the next one start."""
    run: Run = event.run
    if lifecycle.makes_room(run):
        await advance(run.workspace_id)


async def put_aside(workspace: Workspace, before: Run, *, by: Actor) -> list[RunEvent]:
    """Let none of the ordinary runs pending before that one start any more, and discard the first of them, inside the
    caller's transaction, which holds the workspace's row.  `discard_aside` discards the rest."""
    await Workspace.filter(id=workspace.id).update(executes_from=before.number)
    workspace.executes_from = before.number
    return await _discard_some(workspace, by)


async def discard_aside() -> None:
    """Discard what was put aside, a few runs at a time, so that nobody waits long for workspace or database."""
    for workspace_id in await workspaces_with(lifecycle.IN_QUEUE, condition="workspaces.executes_from > 0"):
        await in_steps(partial(_discard_step, workspace_id))


async def in_steps(step: Callable[[], Awaitable[bool]]) -> None:
    """Do *step* until it says that nothing was left, and leave everyone else as much time as it takes."""
    began = clock.monotonic()
    while await step():
        await asyncio.sleep(clock.monotonic() - began)
        began = clock.monotonic()


async def _discard_step(workspace_id: str) -> bool:
    async with in_transaction():
        workspace = await Workspace.filter(id=workspace_id).select_for_update().get()
        spoken = await _discard_some(workspace, SYSTEM)
    await moves.announce(spoken)
    return bool(spoken)


async def _discard_some(workspace: Workspace, by: Actor) -> list[RunEvent]:
    pending = Run.filter(workspace_id=workspace.id, status=lifecycle.IN_QUEUE, plan_only=False, save_plan=False)
    aside = await pending.filter(number__lt=workspace.executes_from).order_by("number").limit(STEP)
    return [event for run in aside for event in await moves.speak(run, "discard", by=by)]


async def current_run_id(workspace: Workspace) -> str | None:
    """The run the API calls `current-run`.

    That of the lock, else the one that held it last.  While a person holds the lock it is the first pending run, of any
    kind: so the CLI can say what it waits for.
    """
    if workspace.locked_by_user_id is not None:
        first = await Run.filter(workspace_id=workspace.id, status=lifecycle.IN_QUEUE).order_by("number").first()
        if first is not None:
            return first.id
    return workspace.current_run_id

"""Back to an older state: its bytes again, as a new version with a higher serial.

Nothing is taken out of the history.  A plan that rests on the state in between is stale from then on.
"""

from __future__ import annotations

import asyncio

from app import clock, events, ids
from app.access.actors import Actor
from app.access.permissions import require
from app.errors import Conflict, Invalid
from app.states import arrival, deletion, succession
from app.states.arrival import FINALIZED, PENDING
from app.states.models import StateVersion
from app.states.reading import Contents
from app.states.rewriting import with_serial
from app.storage import objects
from app.storage.database import in_transaction
from app.storage.models import StoredObject
from app.workspaces.models import Workspace

_FIELD = "/data/relationships/rollback-state-version/data/id"


async def rollback(actor: Actor, workspace: Workspace, version_id: str) -> StateVersion:
    """Make the content of *version_id* current again.  The lock must be *actor*'s, and stays.

    Asked again, the version that came of it is the answer.
    """
    await require(actor, "state:write", workspace)
    succession.require_lock(actor, workspace)
    now = await arrival.current_of(workspace)
    if now is not None and now.rollback_of_id == version_id:
        return now
    old, content = await _target(workspace, version_id)
    if now is None or now.id == old.id:
        raise Conflict("This state version is the current one; there is nothing to go back to.")
    serial = max(now.serial, old.serial) + 1
    new = with_serial(objects.stream(content), serial)
    async with arrival.taken_in(workspace, new) as (stored, contents):
        if contents.serial != serial:
            raise Conflict("This state has its serial more than once, so no later one can be written into it.")
        version = await _begin(actor, workspace, now, old, stored, contents)
        try:
            await arrival.finalize(version, stored, contents, back_from=now.id)
        except BaseException:
            await asyncio.shield(arrival.give_up(version.id))
            raise
    await events.state_changed.announce(workspace.id)
    return await StateVersion.get(id=version.id)


async def _target(workspace: Workspace, version_id: str) -> tuple[StateVersion, StoredObject]:
    versions = StateVersion.filter(id=version_id, workspace_id=workspace.id, status=FINALIZED, intermediate=False)
    old = await versions.select_related("content").first()
    if old is not None and (why := deletion.missing(old)) is not None:
        raise Conflict(why)
    if old is not None and old.content is not None:
        return old, old.content
    raise Invalid(f"The workspace {workspace.name} has no finalized state version {version_id[:40]}.", field=_FIELD)


async def _begin(
    actor: Actor,
    workspace: Workspace,
    now: StateVersion,
    old: StateVersion,
    stored: StoredObject,
    contents: Contents,
) -> StateVersion:
    """The row of the new version, if the current one is still *now*."""
    async with in_transaction():
        fresh = await arrival.locked(workspace.id)
        succession.require_lock(actor, fresh)
        succession.require_unmoved(fresh, now.id)
        version = await StateVersion.create(
            id=ids.new("state_version"),
            workspace_id=workspace.id,
            status=PENDING,
            serial=contents.serial,
            lineage=contents.lineage,
            md5=stored.md5,
            forced=contents.lineage != now.lineage,
            rollback_of_id=old.id,
            created_by_id=actor.id,
            created_at=clock.now(),
        )
    await version.fetch_related("workspace")
    return version

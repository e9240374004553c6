"""How a state becomes current: bytes first, then one transaction that compares once more.

The bytes go to the object store first, then one transaction compares lock, lineage and serial and makes them current:
a version whose bytes are not there is never current, and two writers can never both win.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from app import clock, ids, settings
from app.access.actors import Actor
from app.errors import Conflict, NotFound
from app.states import history, processing, succession
from app.states.models import StateVersion
from app.states.reading import Contents, StateReader
from app.storage import objects
from app.storage.database import in_transaction
from app.storage.models import StoredObject
from app.workspaces.models import Workspace

PENDING, FINALIZED, DISCARDED = "pending", "finalized", "discarded"

#: A longer state is read afterwards, by a worker: its writer does not wait for it.
READ_ON_ITS_WAY = 1024 * 1024


@dataclass(frozen=True, slots=True)
class NewState:
    """What a request says of the state it will send; with `state` (base64) it has sent it.

    `json_state_outputs` is not needed, since outputs are read from the state; it is looked at all the same.
    """

    serial: int
    md5: str
    lineage: str = ""
    force: bool = False
    intermediate: bool = False
    state: str | None = None
    json_state: str | None = None
    json_state_outputs: str | None = None


@asynccontextmanager
async def taken_in(workspace: Workspace, chunks: AsyncIterable[bytes]) -> AsyncIterator[tuple[StoredObject, Contents]]:
    """Store *chunks* and read them on their way.  If the block does not save the object, its bytes are dropped."""
    reader = StateReader(whole_up_to=READ_ON_ITS_WAY)
    limit = settings.current().max_state
    stored = await objects.put("state", workspace.organization_id, _read_by(reader, chunks), limit=limit)
    try:
        yield stored, reader.finish()
    finally:
        await asyncio.shield(objects.abandon(stored))


async def announce(
    actor: Actor, workspace: Workspace, new: NewState, forced: bool, run_id: str | None = None
) -> StateVersion:
    before = await current_of(workspace)
    if not forced:
        succession.require_successor(before, new.serial, new.lineage or None)
    return await StateVersion.create(
        id=ids.new("state_version"),
        workspace_id=workspace.id,
        status=PENDING,
        serial=new.serial,
        lineage=new.lineage,
        md5=new.md5,
        intermediate=new.intermediate,
        forced=forced and before is not None and not succession.follows(before, new.serial, new.lineage),
        run_id=actor.claims.run_id if actor.claims else run_id,
        created_by_id=actor.id,
        created_at=clock.now(),
    )


async def finalize(
    version: StateVersion,
    stored: StoredObject,
    contents: Contents,
    *,
    recovered_from: str | None = None,
    back_from: str | None = None,
) -> bool:
    """Compare once more and make it current, in one transaction.  False: the same bytes had come before.

    What is *recovered_from* a run needs a workspace that no other holds; everything else, the lock itself.  What goes
    *back_from* a version needs that one to be current still.
    """
    async with in_transaction():
        workspace = await locked(version.workspace.id)
        fresh = await StateVersion.get(id=version.id)
        if fresh.status == FINALIZED:
            return False
        if back_from is not None:
            succession.require_unmoved(workspace, back_from)
        if fresh.status == DISCARDED:
            raise Conflict(
                "This state version was given up: its bytes did not come in time, a newer state came before them, or"
                " the workspace's lock was freed."
            )
        if recovered_from is None and not succession.still_locked_for(fresh, workspace):
            raise Conflict("The workspace's lock was freed before the state arrived.")
        if recovered_from is not None and succession.is_others(workspace, recovered_from):
            raise Conflict("The workspace was locked by another before the state arrived.")
        before, lineage = await current_of(workspace), fresh.lineage or contents.lineage
        if not fresh.forced:
            succession.require_successor(before, fresh.serial, lineage)
        elif before is not None and succession.follows(before, fresh.serial, lineage):
            fresh.forced = False  # it need not have been
        await stored.save()
        _describe(fresh, stored, contents)
        if contents.is_whole:
            await processing.keep(fresh, contents)
        if fresh.intermediate:
            await fresh.save()
        else:
            await history.make_current(workspace, fresh, contents.managed_instances if contents.is_whole else None)
    version.update_from_dict({"status": fresh.status, "chain_hash": fresh.chain_hash})
    return True


def _describe(version: StateVersion, stored: StoredObject, contents: Contents) -> None:
    version.status = FINALIZED
    version.content_id = stored.id
    version.sha256 = stored.sha256
    version.md5 = stored.md5
    version.size = stored.size
    version.lineage = version.lineage or contents.lineage
    version.finalized_at = clock.now()
    version.terraform_version = contents.terraform_version
    version.state_format = contents.version


async def locked(workspace_id: str) -> Workspace:
    workspace = await Workspace.filter(id=workspace_id, deleted_at=None).select_for_update().first()
    if workspace is None:
        raise NotFound("There is no such workspace any more.")
    return workspace


async def current_of(workspace: Workspace) -> StateVersion | None:
    return await StateVersion.get_or_none(id=workspace.current_state_version_id)


async def _read_by(reader: StateReader, chunks: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    async for chunk in chunks:
        reader.feed(chunk)
        yield chunk


async def give_up(version_id: str) -> None:
    await StateVersion.filter(id=version_id, status=PENDING).update(status=DISCARDED)

"""State versions come, are checked, and become current.

The bytes go to the object store first, then one transaction compares lock, lineage and serial and makes them current:
a version whose bytes are not there is never current, and two writers can never both win.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tortoise.expressions import Q
from tortoise.queryset import QuerySet

from app import clock, events, ids, settings
from app.access.actors import SYSTEM, Actor, Kind
from app.access.permissions import require
from app.errors import Conflict, Invalid, NotFound, Unavailable
from app.states import history, succession
from app.states.models import StateVersion, StateVersionOutput
from app.states.reading import Contents, StateReader
from app.states.values import json_text
from app.storage import crypto, objects
from app.storage.database import in_transaction
from app.storage.models import StoredObject
from app.workspaces.models import Workspace

PENDING, FINALIZED, DISCARDED = "pending", "finalized", "discarded"


@dataclass(frozen=True, slots=True)
class NewState:
    """What a request says of the state it will send; with `state` (base64) it has sent it."""

    serial: int
    md5: str
    lineage: str = ""
    force: bool = False
    intermediate: bool = False
    state: str | None = None
    json_state: str | None = None


def visible(actor: Actor) -> QuerySet[StateVersion]:
    """The state versions *actor* may know of; a run knows those its organization may share with it, and which it
    may read `require` decides."""
    versions = StateVersion.filter(workspace__deleted_at=None)
    if actor.kind is Kind.SYSTEM:
        return versions
    if actor.claims is not None:
        return versions.filter(workspace__organization_id=actor.claims.organization_id)
    return versions.filter(workspace__organization_id__in=list(actor.organization_ids))


async def find(actor: Actor, version_id: str) -> StateVersion:
    """The version, its workspace loaded, if *actor* may read it.  Raises NotFound, Forbidden."""
    version = await visible(actor).filter(id=version_id).select_related("workspace").first()
    if version is None:
        raise NotFound("There is no such state version, or you may not see it.")
    await require(actor, "state:read", version.workspace)
    return version


async def of(actor: Actor, workspace: Workspace, *, status: str | None = None) -> QuerySet[StateVersion]:
    """The versions of *workspace*, newest first, without the snapshots of a lock that is still held."""
    await require(actor, "state:read", workspace)
    versions = StateVersion.filter(workspace_id=workspace.id, intermediate=False)
    if status is not None:
        versions = versions.filter(status=status)
    return versions.order_by("-created_at", "-id")


async def current(actor: Actor, workspace: Workspace) -> StateVersion:
    """The current version of *workspace*; its content is there.  Raises NotFound where there is none yet."""
    await require(actor, "state:read", workspace)
    version = await _current(workspace)
    if version is None:
        raise NotFound("The workspace has no state yet.")
    return version


async def create(actor: Actor, workspace: Workspace, new: NewState) -> StateVersion:
    """Announce a state.  It is `pending` until its bytes come by the upload URL, or finalized if it holds them.

    Whoever writes must hold the workspace's lock.  The same serial with the same bytes answers the version there is.
    """
    await require(actor, "state:write", workspace)
    succession.check(new.serial, new.md5, new.lineage)
    forced = succession.may_force(actor, said=new.force)
    inline = _decoded(new.state, "state") if new.state is not None else None
    json_inline = _decoded(new.json_state, "json_state") if new.json_state is not None else None
    async with in_transaction():
        workspace = await _locked(workspace.id)
        succession.require_lock(actor, workspace)
        same = await _same(actor, workspace, new)
        if same is None:
            same = await _announce(actor, workspace, new, forced)
    if inline is not None and same.status == PENDING:
        await _receive_inline(same, inline)
    if json_inline is not None:
        await receive_json(same.id, _one(json_inline))
    return same


async def _receive_inline(version: StateVersion, content: bytes) -> None:
    """Take a state that came with its request.  Nothing more will come, so a refused one is given up at once: the
    lock would wait for it."""
    try:
        await receive(version.id, _one(content))
    except BaseException:
        await asyncio.shield(_give_up(version.id))
        raise
    await version.refresh_from_db()


async def receive(version_id: str, chunks: AsyncIterable[bytes]) -> None:
    """Take the bytes of a pending version; it becomes current (or a snapshot), or nothing of it is kept.

    Sent again, the same bytes are a success; others are refused.
    """
    version = await StateVersion.get_or_none(id=version_id).select_related("workspace")
    if version is None or version.workspace.deleted_at is not None:
        raise NotFound("There is no such state version any more.")
    try:
        async with _taken_in(version.workspace, chunks) as (stored, contents):
            succession.check_contents(version, stored, contents)
            kept = await _finalize(version, stored, contents)
    except Conflict:
        await _give_up(version.id)  # what does not follow now never will; bytes that were cut may come again
        raise
    if kept and not version.intermediate:
        await events.state_changed.announce(version.workspace.id)


@asynccontextmanager
async def _taken_in(workspace: Workspace, chunks: AsyncIterable[bytes]) -> AsyncIterator[tuple[StoredObject, Contents]]:
    """Store *chunks* and read them on their way.  If the block does not save the object, its bytes are dropped."""
    reader = StateReader()
    limit = settings.current().max_state
    stored = await objects.put("state", workspace.organization_id, _read_by(reader, chunks), limit=limit)
    try:
        yield stored, reader.finish()
    finally:
        await asyncio.shield(objects.abandon(stored))


async def receive_json(version_id: str, chunks: AsyncIterable[bytes]) -> None:
    """Keep the state as `terraform show -json` would print it, beside the version.  Sent again, the same bytes are a
    success; others are refused."""
    version = await StateVersion.get_or_none(id=version_id).select_related("workspace", "json_content")
    if version is None or version.workspace.deleted_at is not None:
        raise NotFound("There is no such state version any more.")
    stored = await objects.put(
        "json-state", version.workspace.organization_id, chunks, limit=settings.current().max_state
    )
    if version.json_content is not None and version.json_content.sha256 == stored.sha256:
        await objects.delete_bytes(stored)
        return
    try:
        async with in_transaction():
            await stored.save()
            bare = StateVersion.filter(id=version_id, json_content_id=None)
            if not await bare.update(json_content_id=stored.id):
                raise Conflict("This state version has its JSON form already.")
    except BaseException:
        await asyncio.shield(objects.abandon(stored))
        raise


async def recover(workspace: Workspace, run_id: str, chunks: AsyncIterable[bytes]) -> StateVersion:
    """Make a state that a dead run left the current one, if it follows what is current and the run still holds the
    lock.  Raises Conflict (it does not), Invalid (it is no state); nothing is kept then."""
    async with _taken_in(workspace, chunks) as (stored, contents):
        succession.check_lineage(contents.lineage)
        new = NewState(serial=contents.serial or 0, md5=stored.md5, lineage=contents.lineage)
        async with in_transaction():
            workspace = await _locked(workspace.id)
            if workspace.locked_by_run_id != run_id:
                raise Conflict("The run no longer holds the workspace's lock.")
            same = await _same(SYSTEM, workspace, new, run_id)
            version = same or await _announce(SYSTEM, workspace, new, forced=False, run_id=run_id)
        await version.fetch_related("workspace")
        try:
            kept = await _finalize(version, stored, contents)
        except BaseException:
            await asyncio.shield(_give_up(version.id))
            raise
    if kept:
        await events.state_changed.announce(workspace.id)
    return version


async def content(version_id: str) -> StoredObject:
    """The object that holds a version's bytes, as they were sent.  Asks nothing: for links that were signed."""
    version = await _signed(version_id, "content")
    if version.content is None:
        raise NotFound("This state version has no content.")
    stored: StoredObject = version.content
    return stored


async def json_content(version_id: str) -> StoredObject:
    """The object with a version's JSON form, likewise."""
    version = await _signed(version_id, "json_content")
    if version.json_content is None:
        raise NotFound("This state version has no JSON form.")
    stored: StoredObject = version.json_content
    return stored


async def _signed(version_id: str, content: str) -> StateVersion:
    alive = StateVersion.filter(id=version_id, workspace__deleted_at=None)
    version = await alive.select_related(content).first()
    if version is None:
        raise NotFound("There is no such state version any more.")
    return version


async def before_unlock(workspace: Workspace, forced: bool) -> None:
    """The lock waits while the newest version waits for its bytes; by force it does not, and they are given up."""
    newest = await StateVersion.filter(workspace_id=workspace.id).order_by("-created_at", "-id").first()
    if newest is not None and newest.status == PENDING:
        if not forced:
            raise Unavailable(
                "The latest state version is still pending: its bytes have not come. Wait for the upload to end;"
                " after ten minutes, or by force-unlock, it is given up."
            )
        await StateVersion.filter(workspace_id=workspace.id, status=PENDING).update(status=DISCARDED)
    await history.settle(workspace)


# How it becomes current


async def _same(actor: Actor, workspace: Workspace, new: NewState, run_id: str | None = None) -> StateVersion | None:
    """The version this request repeats, if it does: clients ask again after an answer was lost.

    The current one whoever made it, else one of the same writer; an older one is no repetition but a way back.
    """
    alike = StateVersion.filter(workspace_id=workspace.id, serial=new.serial, md5=new.md5)
    current = await alike.filter(id=workspace.current_state_version_id).first()
    if current is not None and not new.intermediate:
        return current
    own = alike.filter(
        Q(status=PENDING) | Q(status=FINALIZED, intermediate=True),
        intermediate=new.intermediate,
        created_by_id=actor.id,
        run_id=actor.claims.run_id if actor.claims else run_id,
    )
    return await own.order_by("-created_at").first()


async def _announce(
    actor: Actor, workspace: Workspace, new: NewState, forced: bool, run_id: str | None = None
) -> StateVersion:
    before = await _current(workspace)
    if not forced:
        succession.require_successor(before, new.serial, new.lineage)
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


async def _finalize(version: StateVersion, stored: StoredObject, contents: Contents) -> bool:
    """Compare once more and make it current, in one transaction.  False: the same bytes had come before."""
    async with in_transaction():
        workspace = await _locked(version.workspace.id)
        fresh = await StateVersion.get(id=version.id)
        if fresh.status == FINALIZED:
            return False
        if fresh.status == DISCARDED:
            raise Conflict("This state version was given up, because its bytes did not come in time.")
        if not succession.still_locked_for(fresh, workspace):
            raise Conflict("The workspace's lock was freed before the state arrived.")
        before, lineage = await _current(workspace), fresh.lineage or contents.lineage
        if not fresh.forced:
            succession.require_successor(before, fresh.serial, lineage)
        elif before is not None and succession.follows(before, fresh.serial, lineage):
            fresh.forced = False  # it need not have been
        await stored.save()
        _describe(fresh, stored, contents)
        await _keep_outputs(fresh, contents)
        if fresh.intermediate:
            await fresh.save()
        else:
            await history.make_current(workspace, fresh, contents.managed_instances)
    version.update_from_dict({"status": fresh.status, "chain_hash": fresh.chain_hash})
    return True


def _describe(version: StateVersion, stored: StoredObject, contents: Contents) -> None:
    version.status = FINALIZED
    version.content_id = stored.id
    version.size = stored.size
    version.lineage = version.lineage or contents.lineage
    version.finalized_at = clock.now()
    version.terraform_version = contents.terraform_version
    version.state_format = contents.version
    version.resources = [
        {
            "name": resource.name,
            "type": resource.type,
            "count": resource.count,
            "module": resource.module,
            "provider": resource.provider,
            "mode": resource.mode,
        }
        for resource in contents.resources
    ]
    version.modules, version.providers = dict(contents.modules), dict(contents.providers)
    version.resources_processed = True


async def _keep_outputs(version: StateVersion, contents: Contents) -> None:
    rows = []
    for output in contents.outputs:
        identifier = ids.new("state_version_output")
        rows.append(
            StateVersionOutput(
                id=identifier,
                state_version_id=version.id,
                name=output.name,
                sensitive=output.sensitive,
                type=_plain_type(output.type),
                detailed_type=json_text(output.type),
                sealed_value=crypto.seal(output.value.encode(), context=("output", identifier)),
            )
        )
    await StateVersionOutput.bulk_create(rows)


#: What the API calls Terraform's types.
_TYPES = {"bool": "boolean", "list": "array", "set": "array", "tuple": "array", "map": "object", "object": "object"}


def _plain_type(detailed: object) -> str:
    word = detailed[0] if isinstance(detailed, list) and detailed else detailed
    return _TYPES.get(str(word), str(word)).replace("\0", "")[:32]


async def _locked(workspace_id: str) -> Workspace:
    workspace = await Workspace.filter(id=workspace_id, deleted_at=None).select_for_update().first()
    if workspace is None:
        raise NotFound("There is no such workspace any more.")
    return workspace


async def _current(workspace: Workspace) -> StateVersion | None:
    return await StateVersion.get_or_none(id=workspace.current_state_version_id)


async def _read_by(reader: StateReader, chunks: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    async for chunk in chunks:
        reader.feed(chunk)
        yield chunk


def _decoded(text: str, field: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Invalid(f"{field.replace('_', '-')} is not base64.", field=field) from None


async def _one(content: bytes) -> AsyncIterator[bytes]:
    yield content


async def _give_up(version_id: str) -> None:
    await StateVersion.filter(id=version_id, status=PENDING).update(status=DISCARDED)

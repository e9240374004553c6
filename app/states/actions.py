"""What can be done with states: read them, announce one, send its bytes, recover what a dead run left.

How one becomes current is `arrival`'s; going back is `rollback`'s, dropping content `deletion`'s.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import AsyncIterable, AsyncIterator

from tortoise.expressions import Q
from tortoise.queryset import QuerySet

from app import events, settings
from app.access.actors import SYSTEM, Actor, Kind
from app.access.permissions import require
from app.errors import Conflict, Invalid, NotFound, Unavailable
from app.states import arrival, deletion, history, json_stream, succession
from app.states.arrival import DISCARDED, FINALIZED, PENDING, NewState
from app.states.models import StateVersion
from app.storage import objects
from app.storage.database import in_transaction
from app.storage.models import StoredObject
from app.workspaces.models import Workspace


def visible(actor: Actor) -> QuerySet[StateVersion]:
    """The state versions *actor* may know of; a run knows those its organization may share with it, and which it
    may read `require` decides."""
    versions = StateVersion.filter(workspace__deleted_at=None)
    if actor.kind is Kind.SYSTEM:
        return versions
    if actor.claims is not None:
        return versions.filter(workspace__organization_id=actor.claims.organization_id)
    return versions.filter(workspace__organization_id__in=list(actor.organization_ids))


MISSING = "There is no such state version, or you may not see it."


async def find(actor: Actor, version_id: str) -> StateVersion:
    """The version, its workspace loaded, if *actor* may read it.  Raises NotFound, Forbidden."""
    version = await visible(actor).filter(id=version_id).select_related("workspace").first()
    if version is None:
        raise NotFound(MISSING)
    await require(actor, "state:read", version.workspace, missing=MISSING)
    return version


async def of(actor: Actor, workspace: Workspace, *, status: str | None = None) -> QuerySet[StateVersion]:
    """The versions of *workspace*, newest first, without the snapshots of a lock that is still held."""
    await require(actor, "state:read", workspace)
    versions = StateVersion.filter(workspace_id=workspace.id, intermediate=False)
    if status is not None:
        versions = versions.filter(_in(status))
    return versions.order_by("-created_at", "-id")


def _in(condition: str) -> Q:
    """The versions whose `condition` it is."""
    deleted = Q(permanently_deleted_at__not_isnull=True)
    if condition == "backing_data_permanently_deleted":
        return deleted
    if condition == "backing_data_soft_deleted":
        return ~deleted & Q(soft_deleted_at__not_isnull=True)
    if condition not in (PENDING, FINALIZED, DISCARDED):
        raise Invalid(f"State versions have no status {condition[:40]}.", parameter="filter[status]")
    return Q(status=condition, soft_deleted_at=None, permanently_deleted_at=None)


async def current(actor: Actor, workspace: Workspace) -> StateVersion:
    """The current version of *workspace*; its content is there.  Raises NotFound where there is none yet."""
    await require(actor, "state:read", workspace)
    version = await arrival.current_of(workspace)
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
    json_inline = _decoded_json(new.json_state, "json_state")
    _decoded_json(new.json_state_outputs, "json_state_outputs")
    async with in_transaction():
        workspace = await arrival.locked(workspace.id)
        succession.require_lock(actor, workspace)
        same = await _same(actor, workspace, new)
        if same is None:
            same = await arrival.announce(actor, workspace, new, forced)
    if inline is not None and same.status == PENDING:
        await _receive_inline(same, inline)
    if json_inline is not None:
        await receive_json(same.id, _one(json_inline))
        await same.refresh_from_db()
    return same


async def _receive_inline(version: StateVersion, content: bytes) -> None:
    """Take a state that came with its request.  Nothing more will come, so a refused one is given up at once: the
    lock would wait for it."""
    try:
        await receive(version.id, _one(content))
    except BaseException:
        await asyncio.shield(arrival.give_up(version.id))
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
        async with arrival.taken_in(version.workspace, chunks) as (stored, contents):
            succession.check_contents(version, stored, contents)
            kept = await arrival.finalize(version, stored, contents)
    except Conflict:
        await arrival.give_up(version.id)  # what does not follow now never will; bytes that were cut may come again
        raise
    if kept and not version.intermediate:
        await events.state_changed.announce(version.workspace.id)


async def receive_json(version_id: str, chunks: AsyncIterable[bytes]) -> None:
    """Keep the state as `terraform show -json` would print it, beside the version.  Sent again, the same bytes are a
    success; others are refused, and so is what is not JSON."""
    version = await StateVersion.get_or_none(id=version_id).select_related("workspace", "json_content")
    if version is None or version.workspace.deleted_at is not None:
        raise NotFound("There is no such state version any more.")
    chunks = json_stream.required(chunks, "json_state")
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
    """Make a state that a dead run left the current one, if it follows what is current and nobody else holds the
    lock.  Raises Conflict (it does not), Invalid (it is no state); nothing is kept then."""
    async with arrival.taken_in(workspace, chunks) as (stored, contents):
        succession.check_lineage(contents.lineage)
        new = NewState(serial=contents.serial, md5=stored.md5, lineage=contents.lineage)
        async with in_transaction():
            workspace = await arrival.locked(workspace.id)
            if succession.is_others(workspace, run_id):
                raise Conflict("The run no longer holds the workspace's lock, and another does.")
            same = await _same(SYSTEM, workspace, new, run_id)
            version = same or await arrival.announce(SYSTEM, workspace, new, forced=False, run_id=run_id)
        await version.fetch_related("workspace")
        try:
            kept = await arrival.finalize(version, stored, contents, recovered_from=run_id)
        except BaseException:
            await asyncio.shield(arrival.give_up(version.id))
            raise
    if kept:
        await events.state_changed.announce(workspace.id)
    return version


async def content(version_id: str) -> StoredObject:
    """The object that holds a version's bytes, as they were sent.  Asks nothing: for links that were signed."""
    version = await _signed(version_id, "content")
    deletion.require_content(version)
    if version.content is None:
        raise NotFound("This state version has no content.")
    stored: StoredObject = version.content
    return stored


async def json_content(version_id: str) -> StoredObject:
    """The object with a version's JSON form, likewise."""
    version = await _signed(version_id, "json_content")
    deletion.require_content(version)
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
    """The lock waits while the newest version waits for its bytes; by force it does not.

    What is still announced then is given up: a later lock, be it the same person's, knows nothing of it.
    """
    newest = await StateVersion.filter(workspace_id=workspace.id).order_by("-created_at", "-id").first()
    if newest is not None and newest.status == PENDING and not forced:
        raise Unavailable(
            "The latest state version is still pending: its bytes have not come. Wait for the upload to end;"
            " after ten minutes, or by force-unlock, it is given up."
        )
    await StateVersion.filter(workspace_id=workspace.id, status=PENDING).update(status=DISCARDED)
    await history.settle(workspace)


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


def _decoded(text: str, field: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Invalid(f"{field.replace('_', '-')} is not base64.", field=field) from None


def _decoded_json(text: str | None, field: str) -> bytes | None:
    """None also for an empty text, which Terraform 1.3 to 1.5 sends where it has none."""
    if not text:
        return None
    content = _decoded(text, field)
    json_stream.require(content, field)
    return content


async def _one(content: bytes) -> AsyncIterator[bytes]:
    yield content

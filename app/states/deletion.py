"""The content of a state, deleted by a person: first out of reach, then, if they say so, for good.

The version's row, its hash and its place in the chain stay.  What is current keeps its content, and no retention ever
comes here.
"""

from __future__ import annotations

from app import clock
from app.access.actors import Actor
from app.access.permissions import require_in_organization
from app.errors import BadTransition, NotFound
from app.states import arrival
from app.states.models import StateVersion, StateVersionOutput
from app.storage import objects
from app.storage.database import in_transaction
from app.storage.models import StoredObject

RIGHT = "state:delete"


async def soft_delete(actor: Actor, version: StateVersion) -> StateVersion:
    """Put the content out of everyone's reach.  It can be restored."""
    await require_in_organization(actor, RIGHT, version.workspace.organization_id)
    async with in_transaction():
        fresh = await _fresh(version, "finalized", "soft-deleted")
        fresh.soft_deleted_at = clock.now()
        await fresh.save(update_fields=["soft_deleted_at"])
    return fresh


async def restore(actor: Actor, version: StateVersion) -> StateVersion:
    """Give back what `soft_delete` took."""
    await require_in_organization(actor, RIGHT, version.workspace.organization_id)
    async with in_transaction():
        fresh = await _fresh(version, "backing_data_soft_deleted", "restored")
        fresh.soft_deleted_at = None
        await fresh.save(update_fields=["soft_deleted_at"])
    return fresh


async def permanently_delete(actor: Actor, version: StateVersion) -> StateVersion:
    """Delete a soft-deleted content for good, with its outputs and its JSON form.

    The rows go with their keys in one transaction; bytes that a crash leaves behind are nobody's to read.
    """
    await require_in_organization(actor, RIGHT, version.workspace.organization_id)
    async with in_transaction():
        fresh = await _fresh(version, "backing_data_soft_deleted", "permanently deleted")
        gone = await StoredObject.filter(id__in=[id for id in (fresh.content_id, fresh.json_content_id) if id])
        fresh.permanently_deleted_at = clock.now()
        fresh.content_id = fresh.json_content_id = fresh.resources = None
        await fresh.save(update_fields=["permanently_deleted_at", "content_id", "json_content_id", "resources"])
        await StateVersionOutput.filter(state_version_id=fresh.id).delete()
        await StoredObject.filter(id__in=[stored.id for stored in gone]).delete()
    for stored in gone:
        await objects.delete_bytes(stored)
    return fresh


def missing(version: StateVersion) -> str | None:
    """Why what *version* holds is not given; None if nobody deleted it."""
    if version.permanently_deleted_at is not None:
        return "The content of this state version was deleted for good. Its row and its hash remain."
    if version.soft_deleted_at is not None:
        return (
            "The content of this state version was deleted. An owner of the organization can restore it"
            " (actions/restore_backing_data) until it is deleted for good."
        )
    return None


def require_content(version: StateVersion) -> None:
    """Raise NotFound if a person deleted what *version* holds."""
    sentence = missing(version)
    if sentence is not None:
        raise NotFound(sentence)


async def _fresh(version: StateVersion, condition: str, wish: str) -> StateVersion:
    """The row as it is now, its workspace held, if it may be *wish*.  Raises BadTransition."""
    workspace = await arrival.locked(version.workspace.id)
    fresh = await StateVersion.get_or_none(id=version.id).select_related("workspace")
    if fresh is None:
        raise NotFound("There is no such state version any more.")
    if fresh.condition != condition or fresh.intermediate:
        is_now = "a snapshot" if fresh.intermediate else fresh.condition
        raise BadTransition(f"A state version that is {is_now} cannot be {wish}; it must be {condition}.")
    if workspace.current_state_version_id == fresh.id:
        raise BadTransition(f"The workspace's current state cannot be {wish}: terraform reads it. Write another first.")
    return fresh

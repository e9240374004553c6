"""Who holds a workspace.

A run takes the lock of its workspace by itself and frees it when it ends; nobody frees it before.  A
person's lock holds every run that is still pending.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from app import clock, events
from app.access.actors import Actor, Kind
from app.access.models import User
from app.access.permissions import require
from app.errors import Conflict, Invalid
from app.plain_text import plain
from app.storage.database import in_transaction
from app.workspaces.models import Workspace
from app.workspaces.settings import MOST_REASON

#: Called inside the transaction that frees a person's lock, before it is freed, with whether it is by
#: force.  Whoever raises keeps it locked: a state that was announced and has not come (`Unavailable`) must
#: not lose its lock.
BeforeUnlock = Callable[[Workspace, bool], Awaitable[None]]

_before_unlock: list[BeforeUnlock] = []


def before_unlock(*listeners: BeforeUnlock) -> None:
    """Ask *listeners*; one that is asked already is not added again."""
    _before_unlock.extend(one for one in listeners if one not in _before_unlock)


async def lock(actor: Actor, workspace: Workspace, reason: str | None = None) -> Workspace:
    """Let *actor* hold *workspace*.  A run's own token may ask, and changes nothing: the lock is the
    run's."""
    await require(actor, "workspace:lock", workspace)
    if actor.kind is Kind.RUN:
        return workspace
    if reason is not None and len(reason) > MOST_REASON:
        raise Invalid(f"The reason has at most {MOST_REASON} characters.", field="reason")
    reason = plain(reason) if reason is not None else None
    async with in_transaction():
        fresh = await _row(workspace)
        if _is_locked(fresh):
            raise await refusal(fresh)
        await _write(fresh, locked_by_user_id=actor.id, locked_reason=reason, locked_at=clock.now())
    return fresh


async def unlock(actor: Actor, workspace: Workspace) -> Workspace:
    """Give up a lock of one's own."""
    await require(actor, "workspace:lock", workspace)
    if actor.kind is Kind.RUN:
        return workspace
    async with in_transaction():
        fresh = await _row(workspace)
        if not _is_locked(fresh):
            raise Conflict(f"The workspace {fresh.name} is already unlocked.")
        if fresh.locked_by_user_id != actor.id:
            raise await refusal(fresh)
        await _free(fresh, forced=False)
    await events.workspace_freed.announce(fresh.id)
    return fresh


async def force_unlock(actor: Actor, workspace: Workspace) -> Workspace:
    """Free a person's lock.  A run's is freed by ending the run, or a second would start beside a living
    apply."""
    await require(actor, "workspace:force-unlock", workspace)
    async with in_transaction():
        fresh = await _row(workspace)
        if not _is_locked(fresh):
            raise Conflict(f"The workspace {fresh.name} is already unlocked.")
        if fresh.locked_by_run_id is not None:
            raise await refusal(fresh)
        await _free(fresh, forced=True)
    await events.workspace_freed.announce(fresh.id)
    return fresh


async def holder(workspace: Workspace) -> str:
    """Who holds the lock, as clients match on it: ``Run run-…`` or ``User alice``."""
    if workspace.locked_by_run_id is not None:
        return f"Run {workspace.locked_by_run_id}"
    return person(await User.get_or_none(id=workspace.locked_by_user_id), workspace.locked_by_user_id)


def person(user: User | None, user_id: str | None) -> str:
    """How `holder` names the person *user_id*, of whom *user* is the row, if there is one."""
    return f"User {user.username if user is not None else user_id}"


async def refusal(workspace: Workspace) -> Conflict:
    """What is said to who needs the lock that somebody else holds."""
    return Conflict(f"The workspace is locked by {await holder(workspace)}. {_remedy(workspace)}")


def _remedy(workspace: Workspace) -> str:
    if workspace.locked_by_run_id is not None:
        return (
            "A run's lock ends with the run: apply or discard it if it waits for you, cancel it if it works,"
            " force-cancel it if a cancel does not help."
        )
    return "They can unlock it; so can a workspace admin, by force."


def _is_locked(workspace: Workspace) -> bool:
    return workspace.locked_by_run_id is not None or workspace.locked_by_user_id is not None


async def _row(workspace: Workspace) -> Workspace:
    fresh = await Workspace.filter(id=workspace.id, deleted_at=None).select_for_update().first()
    if fresh is None:
        raise Conflict(f"The workspace {workspace.name} was deleted meanwhile.")
    await fresh.fetch_related("organization")
    return fresh


async def _free(workspace: Workspace, *, forced: bool) -> None:
    for listener in _before_unlock:
        await listener(workspace, forced)
    await _write(workspace, locked_by_user_id=None, locked_reason=None, locked_at=None)


async def _write(workspace: Workspace, **changes: object) -> None:
    await Workspace.filter(id=workspace.id).update(**changes)
    workspace.update_from_dict(changes)

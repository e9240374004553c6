"""Which state may follow which, and who may write one: the rules, without any writing."""

from __future__ import annotations

import re

from app.access.actors import Actor, Kind
from app.access.permissions import Reach, may_reach
from app.errors import Conflict, Invalid
from app.states.models import StateVersion
from app.states.reading import Contents
from app.storage.models import StoredObject
from app.workspaces.models import Workspace

MOST_LINEAGE = 255

_MD5 = re.compile(r"[0-9a-f]{32}")


def check(serial: int, md5: str, lineage: str) -> None:
    """What a request may say of a state.  Raises Invalid."""
    if serial < 0:
        raise Invalid("The serial of a state is a number from 0.", field="serial")
    if not _MD5.fullmatch(md5):
        raise Invalid("md5 is the hexadecimal MD5 of the state's bytes.", field="md5")
    check_lineage(lineage)


def check_lineage(lineage: str) -> None:
    if len(lineage) > MOST_LINEAGE or "\0" in lineage:
        raise Invalid(f"A lineage is a text of at most {MOST_LINEAGE} characters, without NUL.", field="lineage")


def check_contents(version: StateVersion, stored: StoredObject, contents: Contents) -> None:
    """Whether the bytes that came are those that were announced.  Raises Invalid."""
    check_lineage(contents.lineage)
    if stored.md5 != version.md5:
        raise Invalid(
            f"The bytes that came have the MD5 {stored.md5}, not {version.md5} as announced. Send them again.",
            field="md5",
        )
    if contents.serial != version.serial:
        raise Invalid(f"The state says serial {contents.serial}, the request {version.serial}.", field="serial")
    if version.lineage and contents.lineage != version.lineage:
        raise Invalid("The state's lineage is not the one the request names.", field="lineage")


def may_force(actor: Actor, *, said: bool) -> bool:
    """A person who holds the lock may go back; the `cloud` block sends `state push -force` without having *said* so."""
    return actor.kind is Kind.USER and (said or actor.integration == "cloud")


def require_lock(actor: Actor, workspace: Workspace) -> None:
    """Raise Conflict unless *actor* holds the workspace's lock."""
    if actor.claims is not None:
        if workspace.locked_by_run_id == actor.claims.run_id and may_reach(actor, Reach.OWN_WORKSPACE, "state:write"):
            return
    elif actor.kind is Kind.SYSTEM or (actor.id and workspace.locked_by_user_id == actor.id):
        return
    raise Conflict("A state is written only by whoever holds the workspace's lock. Lock the workspace first.")


def require_successor(now: StateVersion | None, serial: int, lineage: str | None) -> None:
    """Raise Conflict unless a state of that serial and lineage may follow the current one.

    *lineage* is None where it is not said yet; an empty one follows nothing but an empty one.
    """
    if now is None:
        return
    if lineage is not None and now.lineage and lineage != now.lineage:
        raise Conflict(
            f"The state's lineage {lineage or '(none)'} is not that of the current one, {now.lineage}. It belongs to"
            " something else; `terraform state push -force` takes it all the same."
        )
    if serial <= now.serial:
        raise Conflict(
            f"The state has serial {serial}, but serial {now.serial} is current. Pull the current state and start"
            " from there; `terraform state push -force` goes back all the same."
        )


def require_unmoved(workspace: Workspace, current_id: str) -> None:
    """Raise Conflict unless that version is current still: who goes back from it has looked at no other."""
    if workspace.current_state_version_id != current_id:
        raise Conflict("Nothing was rolled back: another state became current meanwhile. Look at it, then ask again.")


def follows(before: StateVersion, serial: int, lineage: str) -> bool:
    """Whether it does for certain: a lineage that is not said yet may turn out to be another one."""
    return serial > before.serial and lineage == before.lineage


def is_others(workspace: Workspace, run_id: str) -> bool:
    """Whether anybody but that run holds the workspace's lock."""
    return workspace.locked_by_user_id is not None or workspace.locked_by_run_id not in (None, run_id)


def still_locked_for(version: StateVersion, workspace: Workspace) -> bool:
    """Whether who announced *version* still holds the lock."""
    if version.run_id is not None:
        return workspace.locked_by_run_id == version.run_id
    return workspace.locked_by_user_id == version.created_by_id or version.created_by_id is None

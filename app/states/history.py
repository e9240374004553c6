"""The chain of a workspace's states: which is current, which came before, what becomes of snapshots.

Each version's `chain_hash` covers its content and its predecessor's, so a version that was changed, dropped or slipped
in afterwards does not go unseen.
"""

from __future__ import annotations

from datetime import timedelta
from hashlib import sha256
from typing import Any

from app import clock
from app.states.models import StateVersion
from app.storage import objects
from app.storage.database import in_transaction
from app.storage.models import StoredObject
from app.workspaces.models import Workspace

#: How long the bytes of an announced version may take to come.
UPLOAD_SECONDS = 600


async def make_current(workspace: Workspace, version: StateVersion, resource_count: int) -> None:
    """Put *version* at the end of the chain, in the transaction that holds the workspace's row."""
    before = await StateVersion.get_or_none(id=workspace.current_state_version_id)
    version.intermediate = False
    version.previous_id = before.id if before else None
    version.chain_hash = await _link(version, before)
    await version.save()
    now = clock.now()
    await Workspace.filter(id=workspace.id).update(
        current_state_version_id=version.id, resource_count=resource_count, latest_change_at=now
    )
    workspace.current_state_version_id = version.id


async def settle(workspace: Workspace) -> bool:
    """The lock is freed: the newest snapshot taken under it becomes current if nothing newer is, the others go.

    In the transaction that frees the lock.  True if another version is current now.
    """
    snapshots = StateVersion.filter(workspace_id=workspace.id, intermediate=True)
    if not await snapshots.exists():
        return False
    current = await StateVersion.get_or_none(id=workspace.current_state_version_id)
    newest = await snapshots.filter(status="finalized").order_by("-serial").first()
    promoted = newest is not None and (current is None or newest.serial > current.serial)
    if newest is not None and promoted:
        await make_current(workspace, newest, _managed(newest))
    await snapshots.update(status="discarded")
    return promoted


async def verify(workspace: Workspace) -> str | None:
    """Walk the chain back from the current version.  The id of the first version that does not fit, or None."""
    version = await StateVersion.get_or_none(id=workspace.current_state_version_id)
    while version is not None:
        before = await StateVersion.get_or_none(id=version.previous_id)
        if version.chain_hash != await _link(version, before) or (version.previous_id and before is None):
            return version.id
        version = before
    return None


async def discard_overdue() -> int:
    """Give up announced versions whose bytes have not come in time.  How many there were."""
    deadline = clock.now() - timedelta(seconds=UPLOAD_SECONDS)
    return await StateVersion.filter(status="pending", created_at__lt=deadline).update(status="discarded")


async def sweep() -> int:
    """Delete the versions that were discarded, and their bytes.  How many there were."""
    gone = await StateVersion.filter(status="discarded").limit(100).prefetch_related("content", "json_content")
    for version in gone:
        async with in_transaction():
            await StateVersion.filter(id=version.id, status="discarded").delete()
        for stored in (version.content, version.json_content):
            if stored is not None:
                await objects.delete(stored)
    return len(gone)


async def _link(version: StateVersion, before: StateVersion | None) -> str:
    content = await StoredObject.get(id=version.content_id).only("id", "sha256")
    parts = (before.chain_hash or "" if before else "", version.lineage, str(version.serial), content.sha256)
    return sha256("\n".join(parts).encode()).hexdigest()


def _managed(version: StateVersion) -> int:
    """How many resources it manages, from its tallies: the list of names may be cut."""
    tallies: Any = version.modules or {}
    return sum(count for of in tallies.values() for kind, count in of.items() if not kind.startswith("data."))

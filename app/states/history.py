"""The chain of a workspace's states: which is current, which came before, what becomes of snapshots.

Each version's `chain_hash` covers its content and its predecessor's, so a version that was changed, dropped or slipped
in afterwards does not go unseen.
"""

from __future__ import annotations

import json
from datetime import timedelta
from hashlib import sha256
from typing import Any

from app import clock
from app.states.models import StateVersion
from app.storage import objects
from app.storage.database import in_transaction
from app.workspaces.models import Workspace

#: How long the bytes of an announced version may take to come.
UPLOAD_SECONDS = 600


async def make_current(workspace: Workspace, version: StateVersion, resource_count: int | None) -> None:
    """Put *version* at the end of the chain, in the transaction that holds the workspace's row.

    What was announced before it and has not come is superseded, and given up.  *resource_count* is None where
    nobody has counted yet.
    """
    before = await StateVersion.get_or_none(id=workspace.current_state_version_id)
    version.intermediate = False
    version.previous_id = before.id if before else None
    version.chain_hash = link(version, before)
    await version.save()
    older = StateVersion.filter(workspace_id=workspace.id, status="pending", created_at__lt=version.created_at)
    await older.update(status="discarded")
    changes: dict[str, Any] = {"current_state_version_id": version.id, "latest_change_at": clock.now()}
    if resource_count is not None:
        changes["resource_count"] = resource_count
    await Workspace.filter(id=workspace.id).update(**changes)
    workspace.current_state_version_id = version.id


async def settle(workspace: Workspace) -> bool:
    """The lock is freed: the newest snapshot taken under it becomes current if nothing newer is, the others go.

    In the transaction that frees the lock.  True if another version is current now.

    A serial may come twice with other bytes: terraform counts on only where its file differs from what it began with,
    so a write that leads back there keeps the number.  The later one is the newest.
    """
    snapshots = StateVersion.filter(workspace_id=workspace.id, intermediate=True)
    if not await snapshots.exists():
        return False
    current = await StateVersion.get_or_none(id=workspace.current_state_version_id)
    newest = await snapshots.filter(status="finalized").order_by("-serial", "-created_at", "-id").first()
    promoted = newest is not None and (current is None or newest.serial > current.serial)
    if newest is not None and promoted:
        await make_current(workspace, newest, managed(newest))
    await snapshots.update(status="discarded")
    return promoted


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


def link(version: StateVersion, before: StateVersion | None) -> str:
    """The chain hash *version* has after *before*: it covers all that says what it is and where it came from."""
    facts = (
        before.chain_hash if before else None,
        version.workspace_id,
        version.id,
        version.serial,
        version.lineage,
        version.sha256,
        version.run_id,
        version.created_by_id,
        version.rollback_of_id,
        clock.wire(version.created_at),
    )
    return sha256(json.dumps(facts).encode()).hexdigest()


def managed(version: StateVersion) -> int | None:
    """How many resources it manages, from its tallies: the list of names may be cut.  None while nobody has read it."""
    if not version.resources_processed:
        return None
    tallies: Any = version.modules or {}
    return sum(count for of in tallies.values() for kind, count in of.items() if not kind.startswith("data."))

"""Whether a workspace's states are what was stored: the chain of hashes, and the bytes behind each.

The oldest version that does not fit is named, since those after it rest on it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from app.errors import Unavailable
from app.states import history
from app.states.models import StateVersion
from app.storage import crypto, objects
from app.storage.models import StoredObject
from app.workspaces.models import Workspace

_LIGHT = (
    "id",
    "workspace_id",
    "content_id",
    "serial",
    "lineage",
    "size",
    "md5",
    "sha256",
    "run_id",
    "created_by_id",
    "previous_id",
    "rollback_of_id",
    "chain_hash",
    "created_at",
    "permanently_deleted_at",
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found in a workspace; `misfit` is the first version that does not fit, `problem` says why."""

    versions: int
    misfit: str | None = None
    problem: str | None = None


async def verify(workspace: Workspace) -> Verdict:
    """Follow the chain from its first version, and read and decrypt each version's bytes."""
    stored = StateVersion.filter(workspace_id=workspace.id, status="finalized", intermediate=False)
    versions = await stored.order_by("created_at", "id").only(*_LIGHT)
    chain = _chain(workspace, {version.id: version for version in versions})
    before = None
    for version in chain:
        problem = _misfit(version, before) or await _damage(version)
        if problem is not None:
            return Verdict(len(versions), version.id, problem)
        before = version
    return _outside(workspace, versions, chain)


def _chain(workspace: Workspace, by_id: dict[str, StateVersion]) -> list[StateVersion]:
    """From the first version to the current one, as far as each names the one before."""
    chain: list[StateVersion] = []
    at = workspace.current_state_version_id
    while at is not None and at in by_id:
        version = by_id.pop(at)  # each once: a circle ends where it closes
        chain.append(version)
        at = version.previous_id
    return chain[::-1]


def _misfit(version: StateVersion, before: StateVersion | None) -> str | None:
    if version.previous_id != (before.id if before else None):
        return f"The version before it, {version.previous_id}, is not there."
    if version.chain_hash != history.link(version, before):
        return "What is recorded of it is not what was recorded when it became current."
    return None


async def _damage(version: StateVersion) -> str | None:
    """What is wrong with its bytes.  Those a person deleted for good are not missed."""
    if version.permanently_deleted_at is not None:
        return None
    content = await StoredObject.get_or_none(id=version.content_id)
    if content is None:
        return "Its bytes are gone, and nobody deleted them."
    size, digest, told = 0, hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    try:
        async for piece in objects.stream(content):
            size += len(piece)
            digest.update(piece)
            told.update(piece)
    except (crypto.Damaged, Unavailable) as damage:
        return damage.sentence
    if digest.hexdigest() != version.sha256:
        return "Its bytes have another SHA-256 than was recorded."
    if told.hexdigest() != version.md5:
        return "Its bytes have another MD5 than is told of it."
    if size != version.size:
        return f"It has {size} bytes, and {version.size} are told of it."
    return None


def _outside(workspace: Workspace, versions: Iterable[StateVersion], chain: list[StateVersion]) -> Verdict:
    """Whether anything lies beside the chain, or the chain ends before the current version."""
    known = {version.id for version in chain}
    count = len(known)
    for version in versions:
        if version.id not in known:
            return Verdict(count + 1, version.id, "It has no place in the chain that ends at the current version.")
    if workspace.current_state_version_id not in {None, *known}:
        return Verdict(count, workspace.current_state_version_id, "It is called current and is not there.")
    return Verdict(count)

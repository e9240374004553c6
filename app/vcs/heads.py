"""The commit that a workspace handled last of each ref.

A delivery is only a reason to look: whoever handles one reads the live commit and compares it with what stands here.
So a delivery that comes twice does nothing, a late one brings no old commit back, and a branch reset to an earlier
commit is handled again.  What is written here is written in the transaction that makes the run.  Source:
`github-app.md` §3.4 of the protocol notes.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from tortoise.exceptions import IntegrityError

from app import clock, ids
from app.errors import StateroomError
from app.vcs.models import Head, VcsEvent


class Kind(StrEnum):
    BRANCH = "branch"
    TAG = "tag"
    PULL = "pull"
    GROUP = "group"


class Outcome(StrEnum):
    """What a workspace made of a commit."""

    RUN = "run"
    SKIPPED = "skipped"
    WAITING = "waiting"
    FAILED = "failed"


class Overtaken(StateroomError):
    """Somebody else handled the ref of the workspace meanwhile."""

    def __init__(self) -> None:
        super().__init__("The commit was handled meanwhile.")


@dataclass(frozen=True, slots=True)
class Ref:
    """A branch or a tag by its name, a pull request by its number, a merge group by its branch."""

    kind: Kind
    name: str

    def __str__(self) -> str:
        return f"#{self.name}" if self.kind is Kind.PULL else self.name


async def handled(repository_id: str, ref: Ref) -> dict[str, Head]:
    """By workspace: what was handled last of *ref*."""
    rows = await Head.filter(repository_id=repository_id, kind=ref.kind.value, ref=ref.name)
    return {row.workspace_id: row for row in rows}


def is_at(head: Head | None, sha: str) -> bool:
    """Whether *sha* was handled last, and its ref has not been closed since."""
    return head is not None and head.sha == sha and head.closed_at is None


async def open_numbers(repository_id: str) -> list[int]:
    """The pull requests of which we have not heard that they were closed."""
    pulls = Head.filter(repository_id=repository_id, kind=Kind.PULL.value, closed_at=None)
    return sorted({int(head.ref) for head in await pulls.only("id", "ref")})


async def handle(
    before: Head | None,
    *,
    workspace_id: str,
    repository_id: str,
    ref: Ref,
    sha: str,
    reason: str,
    run_id: str | None = None,
    base_sha: str | None = None,
) -> None:
    """Write that *sha* was handled, where *before* is what stood there when it was decided.  Handling the commit
    that stands there already counts its attempt.  Raises Overtaken if something else stands there now."""
    now: dict[str, Any] = {"sha": sha, "reason": reason, "run_id": run_id, "base_sha": base_sha, "closed_at": None}
    now["decided_at"] = clock.now()
    if before is None:
        head = Head(workspace_id=workspace_id, repository_id=repository_id, kind=ref.kind.value, ref=ref.name, **now)
        try:
            await head.save(force_create=True)
        except IntegrityError:
            raise Overtaken from None
        return
    now["attempt"] = before.attempt + 1 if before.sha == sha else 1
    unmoved = Head.filter(id=before.id, sha=before.sha, attempt=before.attempt)
    if not await unmoved.update(**now):
        raise Overtaken


async def failed_since(workspace_ids: Collection[str], ref: Ref, moment: datetime) -> bool:
    """Whether one of these workspaces could not make of *ref* what it should have."""
    failed = VcsEvent.filter(workspace_id__in=list(workspace_ids), kind=ref.kind.value, ref=ref.name)
    return await failed.filter(outcome=Outcome.FAILED.value, created_at__gte=moment).exists()


async def close(repository_id: str, ref: Ref) -> None:
    """Nothing more is expected of *ref*: its pull request was closed, its branch deleted."""
    open_ones = Head.filter(repository_id=repository_id, kind=ref.kind.value, ref=ref.name, closed_at=None)
    await open_ones.update(closed_at=clock.now())


async def forget(workspace_ids: Collection[str], repository_id: str, ref: Ref) -> None:
    """Let *ref* be new to these workspaces."""
    rows = Head.filter(workspace_id__in=list(workspace_ids), repository_id=repository_id)
    await rows.filter(kind=ref.kind.value, ref=ref.name).delete()


async def record(
    workspace_id: str,
    ref: Ref,
    sha: str,
    outcome: Outcome,
    reason: str,
    *,
    run_id: str | None = None,
    delivery_id: str | None = None,
) -> None:
    """Keep for people what the workspace made of a commit."""
    await VcsEvent.create(
        id=ids.new("vcs_event"),
        workspace_id=workspace_id,
        delivery_id=delivery_id,
        kind=ref.kind.value,
        ref=ref.name,
        sha=sha,
        outcome=outcome.value,
        reason=reason,
        run_id=run_id,
        created_at=clock.now(),
    )

"""The commits of strangers' pull requests that wait for somebody's approval, workspace by workspace.

Who looks after a pull request says what waits (`note`, `close`); people see it and approve.  Whether GitHub gives the
one who approves the right to is asked of whoever knows GitHub (`configure`).  Source: `github-app.md` §6 of the
protocol notes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from dataclasses import dataclass

from tortoise.exceptions import IntegrityError
from tortoise.queryset import QuerySet

from app import clock, ids
from app.access.actors import Actor
from app.access.permissions import require
from app.errors import Conflict, NotFound
from app.vcs import connections
from app.vcs.models import Connection, ForkCommit
from app.workspaces import visibility
from app.workspaces.models import Workspace

WAITING, APPROVED, GONE = "waiting", "approved", "gone"

#: Lets a waiting commit be planned in its workspace, by `approved`; raises Forbidden or Conflict with the remedy.
Approve = Callable[[Actor, ForkCommit], Awaitable[None]]

_approve: list[Approve] = []


@dataclass(frozen=True, slots=True)
class Stranger:
    """What people are told of a pull request from a fork; a name is "" where there is none any more."""

    title: str
    author_login: str
    fork_name: str


def configure(approve: Approve) -> None:
    """Let *approve* decide about approvals."""
    _approve[:] = [approve]


# -- what waits --------------------------------------------------------------------------------------------------------


async def waiting(actor: Actor, workspace: Workspace) -> QuerySet[ForkCommit]:
    """What waits in *workspace*, the newest first; repositories loaded."""
    await require(actor, "run:read", workspace)
    connection = await connections.of(workspace)
    asks = connection is not None and _asks(connection)
    found = ForkCommit.filter(workspace_id=workspace.id, state=WAITING)
    found = found.filter(repository_id=connection.repository_id if connection is not None and asks else "")
    return found.order_by("-created_at", "-id").select_related("repository")


async def find(actor: Actor, commit_id: str) -> ForkCommit:
    """The commit, whether or not it waits still; workspace and repository loaded."""
    seen = ForkCommit.filter(workspace_id__in=visibility.subquery(actor))
    commit = await seen.select_related("workspace", "repository").get_or_none(id=commit_id)
    missing = f"There is no commit of a fork {commit_id[:60]}, or you may not see it."
    if commit is None:
        raise NotFound(missing)
    await require(actor, "run:read", commit.workspace, missing=missing)
    return commit


async def note(
    repository_id: str, number: int, sha: str, told: Stranger, *, among: Collection[str], waiting: Collection[str]
) -> None:
    """Write that of the workspaces *among* those in *waiting* wait for an approval of *sha*, the head of pull request
    *number*; whatever else of it waited there is gone."""
    waiting, rows = set(waiting), await _waiting_of(repository_id, number)
    rows = [row for row in rows if row.workspace_id in among]
    current = {row.workspace_id for row in rows if row.sha == sha and row.workspace_id in waiting}
    await _end([row for row in rows if row.workspace_id not in current])
    for workspace_id in sorted(waiting - current):
        commit = ForkCommit(
            id=ids.new("fork_commit"),
            workspace_id=workspace_id,
            repository_id=repository_id,
            pull_request_number=number,
            sha=sha,
            title=told.title[:255],
            author_login=told.author_login[:128],
            fork_name=told.fork_name[:255],
            state=WAITING,
            created_at=clock.now(),
        )
        with suppress(IntegrityError):  # noted at the same time
            await commit.save(force_create=True)


async def close(repository_id: str, number: int) -> None:
    """Nothing of the pull request waits any more."""
    await _end(await _waiting_of(repository_id, number))


# -- approving ---------------------------------------------------------------------------------------------------------


async def approve(actor: Actor, commit: ForkCommit) -> ForkCommit:
    """Let *commit* be planned in its workspace, restricted; once more is the same.

    Raises Forbidden unless *actor* may queue plans in the workspace and write to the repository at GitHub, Conflict for
    a commit that is not the head of its pull request any more.
    """
    await require(actor, "run:queue", commit.workspace)
    if commit.state == WAITING:
        await _approve_waiting(actor, commit)
        commit = await ForkCommit.get(id=commit.id).select_related("workspace", "repository")
    if commit.state == GONE:
        raise Conflict(
            f"Nothing waits for {commit.sha[:7]} any more: a newer commit came to #{commit.pull_request_number}, or it"
            " was closed. Look at what waits now, and approve that."
        )
    return commit


async def approved(
    actor: Actor, repository_id: str, number: int, sha: str, workspace_ids: Collection[str], *, owes_plan: bool
) -> None:
    """Write that *actor* approved what waits in these workspaces; *owes_plan*: a worker is to plan it now."""
    now = clock.now()
    change = {"state": APPROVED, "decided_at": now, "approved_by_id": actor.id, "next_at": now if owes_plan else None}
    of_all = ForkCommit.filter(repository_id=repository_id, pull_request_number=number, sha=sha, state=WAITING)
    await of_all.filter(workspace_id__in=list(workspace_ids)).update(**change)


async def wait_again(commit: ForkCommit) -> None:
    """Offer one that was approved and could not be planned once more, unless a newer one waits already."""
    ours = ForkCommit.filter(id=commit.id, state=APPROVED)
    try:
        await ours.update(state=WAITING, decided_at=None, approved_by_id=None, next_at=None)
    except IntegrityError:
        await ours.update(next_at=None)


async def _approve_waiting(actor: Actor, commit: ForkCommit) -> None:
    connection = await connections.of(commit.workspace)
    if connection is None or connection.repository_id != commit.repository_id or not _asks(connection):
        raise Conflict(
            f"{commit.workspace.name} asks for no approvals of {commit.repository.full_name} any more: what it follows,"
            " or what it does with forks, was changed. Its Version Control page says how it is now."
        )
    if not _approve:
        raise RuntimeError("nobody decides about approvals: wiring is missing")
    await _approve[0](actor, commit)


def _asks(connection: Connection) -> bool:
    return connections.fork_policy(connection) == connections.APPROVE


async def _waiting_of(repository_id: str, number: int) -> list[ForkCommit]:
    return await ForkCommit.filter(repository_id=repository_id, pull_request_number=number, state=WAITING)


async def _end(rows: Collection[ForkCommit]) -> None:
    if rows:
        unchanged = ForkCommit.filter(id__in=[row.id for row in rows], state=WAITING)
        await unchanged.update(state=GONE, decided_at=clock.now())

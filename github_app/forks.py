"""Pull requests of strangers: planning one runs its code, so nobody's is planned until somebody lets that commit be,
unless the server and the workspace allow all of them.

An approval is of one commit in one workspace.  It needs write access to the repository at GitHub and the right to
queue a plan here, both of one person, whose GitHub account is linked; what it lets run is a restricted run, which gets
no secrets, no other state and no network (`Run.is_restricted`).  Source: `github-app.md` §6 and `product.md` §9.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from tortoise.exceptions import IntegrityError

from app import clock, links, settings
from app.access import tokens
from app.access.actors import SYSTEM, Actor
from app.access.models import User
from app.access.permissions import require
from app.errors import Conflict, Forbidden, NotFound
from app.vcs import connections, fork_commits, heads
from app.vcs.heads import Kind, Outcome, Ref
from app.vcs.models import Connection, ForkCommit, Repository
from github_app import api, checks, following
from github_app.client import Refused
from github_app.following import Occasion
from github_app.models import Check, ForkApproval, LinkedAccount

MAY_WRITE = ("write", "maintain", "admin")


@dataclass(frozen=True, slots=True)
class Planned:
    """It may be planned; if its author is a stranger, *approved_by* somebody, or by Stateroom where the workspace
    allows all of them.  Whoever it was, the run is restricted."""

    approved_by: Actor | None = None


@dataclass(frozen=True, slots=True)
class Barred:
    """It may not, or not yet."""

    outcome: Outcome
    reason: str


OURS = Planned()


async def verdict(occasion: Occasion, connection: Connection) -> Planned | Barred:
    """Whether the commit of a fork may be planned in the workspace of *connection*."""
    policy = connections.fork_policy(connection)
    if policy == connections.ALLOW:
        return Planned(SYSTEM)
    if policy == connections.DENY:
        return Barred(Outcome.SKIPPED, "Plans are not run for forks in this workspace.")
    approval = await ForkApproval.get_or_none(
        workspace_id=connection.workspace_id,
        repository_id=occasion.repository.id,
        pull_request_number=int(occasion.ref.name),
        sha=occasion.sha,
    )
    if approval is None:
        return Barred(
            Outcome.WAITING,
            "The pull request comes from a fork: someone with write access to the repository has to let this commit be"
            " planned.",
        )
    approver = await User.get(id=approval.approved_by_id)
    return Planned(await tokens.actor_of(approver))


async def approve_by_login(repository: Repository, check: Check, app_id: str, account_number: int) -> str:
    """Somebody pressed the button of *check* at GitHub.  Raises Forbidden with what that person can do about it."""
    linked = await LinkedAccount.get_or_none(app_id=app_id, number=account_number)
    if linked is None:
        raise Forbidden(
            "Your GitHub account is linked to no user of Stateroom. Link it in your Stateroom settings, then press"
            " again."
        )
    user = await User.get(id=linked.user_id)
    return await approve(await tokens.actor_of(user), repository, check)


async def approve_in(actor: Actor, commit: ForkCommit) -> None:
    """Somebody approved what waits in one workspace, here: a worker plans it."""
    repository = await Repository.get(id=commit.repository_id).prefetch_related("installation")
    if trouble := repository.lost or repository.installation.trouble:
        raise Conflict(trouble)
    number, among = commit.pull_request_number, {commit.workspace_id}
    try:
        await _approve(actor, repository, number, commit.sha, among, owes_plan=True)
    except Refused as error:
        raise Conflict(error.sentence) from error


async def approve(actor: Actor, repository: Repository, check: Check) -> str:
    """Let the commit of *check*, a fork's, be planned in the workspace that it is about, or in those it counts: where
    it waits for that and *actor* may queue plans.  Whoever calls follows the pull request then.

    Raises Forbidden unless *actor* has linked a GitHub account that may write to the repository; Conflict if the pull
    request has moved on to another commit, or nothing waits.
    """
    return await _approve(actor, repository, int(check.ref), check.head_sha, await checks.waiting(check))


async def _approve(
    actor: Actor,
    repository: Repository,
    number: int,
    sha: str,
    among: Collection[str],
    *,
    owes_plan: bool = False,
) -> str:
    """Likewise in the workspaces *among*; *owes_plan*: a worker follows the pull request."""
    linked = await LinkedAccount.filter(user_id=actor.id or "", app_id=repository.app_id).first()
    if linked is None:
        raise Forbidden(
            "An approval needs write access to the repository at GitHub: link your GitHub account first, at"
            f" {settings.current().external_url}{links.GITHUB_ACCOUNTS}."
        )
    asked = api.of(repository.installation)
    if await asked.permission_of(repository, linked.login, linked.number) not in MAY_WRITE:
        raise Forbidden(f"{linked.login} has no write access to {repository.full_name} at GitHub.")
    pull = await asked.pull_request(repository, number)
    if pull is None or pull.state != "open" or pull.head.sha != sha:
        raise Conflict(f"The pull request has moved on from {sha[:7]}: look at the new commit, and approve that.")
    waiting = [one for one in await following.connections_of(repository) if one.workspace_id in among]
    waiting = [one for one in waiting if connections.fork_policy(one) == connections.APPROVE]
    if not waiting:
        raise Conflict(f"No workspace here waits for an approval of {sha[:7]} any more.")
    approved = [one for one in waiting if await _may(actor, one)]
    if not approved:
        raise Forbidden("You may queue plans in none of the workspaces that wait.")
    for connection in approved:
        await _remember(actor, linked, connection, number, sha)
    ref = Ref(Kind.PULL, str(number))
    workspace_ids = [one.workspace_id for one in approved]
    await heads.forget(workspace_ids, repository.id, ref)
    await fork_commits.approved(actor, repository.id, number, sha, workspace_ids, owes_plan=owes_plan)
    places = "1 workspace" if len(approved) == 1 else f"{len(approved)} workspaces"
    return f"{actor.name} let {sha[:7]} be planned in {places}."


async def _may(actor: Actor, connection: Connection) -> bool:
    try:
        await require(actor, "run:queue", connection.workspace)
    except (Forbidden, NotFound):
        return False
    return True


async def _remember(actor: Actor, linked: LinkedAccount, connection: Connection, number: int, sha: str) -> None:
    assert actor.id is not None
    approval = ForkApproval(
        workspace_id=connection.workspace_id,
        repository_id=connection.repository_id,
        pull_request_number=number,
        sha=sha,
        approved_by_id=actor.id,
        github_login=linked.login,
        created_at=clock.now(),
    )
    try:
        await approval.save(force_create=True)
    except IntegrityError:
        return  # approved already

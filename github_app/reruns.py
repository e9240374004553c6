"""GitHub's buttons: re-run, plan again, approve a fork.

Each acts on the live head only, as the one who pressed it may; a refusal stands on the check.  Source:
`github-app.md` §4.4 and §4.6 of the protocol notes.
"""

from __future__ import annotations

from app.errors import Conflict, Forbidden
from app.vcs import heads
from app.vcs.heads import Kind, Ref
from app.vcs.models import Repository
from github_app import api, check_names, checks, following, forks, pulls, verdicts
from github_app.models import Check
from github_app.payloads import Account, CheckRunEvent, CheckSuiteEvent
from github_app.told import NothingToDo, Told


async def on_check_rerequested(told: Told[CheckRunEvent]) -> str:
    """Plan again in the check's workspace; in all of them for an aggregate."""
    repository, check = await _ours(told)
    return await _again(repository, [check], told.payload.sender, told.delivery.id)


async def on_suite_rerequested(told: Told[CheckSuiteEvent]) -> str:
    """Plan everything of the commit again."""
    repository = await following.repository_of(told.app, told.payload.repository)
    sha = told.payload.check_suite.head_sha or ""
    ours = await checks.of_commit(repository, sha) if repository is not None else []
    if repository is None or not ours:
        raise NothingToDo("None of our checks is on that commit.")
    return await _again(repository, ours, told.payload.sender, told.delivery.id)


async def on_action(told: Told[CheckRunEvent]) -> str:
    """A button of ours on a completed check."""
    repository, check = await _ours(told)
    action = told.payload.requested_action
    sender = told.payload.sender or Account()
    if action is None or action.identifier not in (verdicts.PLAN_AGAIN, verdicts.APPROVE_FORK):
        raise NothingToDo("A button of ours has another name.")
    if action.identifier == verdicts.PLAN_AGAIN:
        return await _again(repository, [check], sender, told.delivery.id)
    try:
        sentence = await forks.approve_by_login(repository, check, told.app.id, sender.id)
    except (Forbidden, Conflict) as error:
        await checks.refuse(check, error.sentence)
        return error.sentence
    await checks.begin_again(check)
    return f"{sentence} {await pulls.follow_pull_request(repository, int(check.ref), sender, told.delivery.id)}"


async def _ours(told: Told[CheckRunEvent]) -> tuple[Repository, Check]:
    repository = await following.repository_of(told.app, told.payload.repository)
    external_id = told.payload.check_run.external_id
    check = await check_names.find(repository, external_id) if repository is not None and external_id else None
    if repository is None or check is None:
        raise NothingToDo("Not a check of ours.")
    return repository, check


async def _again(repository: Repository, again: list[Check], sender: Account | None, delivery_id: str) -> str:
    """A new attempt on the same commit, for what has ended of the live head."""
    ended = [check for check in again if check.is_final]
    if not ended:
        raise NothingToDo("It is being planned already.")
    number, kind, sha = ended[0].ref, Kind(ended[0].kind), ended[0].head_sha
    if kind is not Kind.PULL:
        raise NothingToDo("A merge group is planned once; put the pull request into the queue again.")
    pull = await api.of(repository.installation).pull_request(repository, int(number))
    if pull is None or pull.state != "open" or pull.head.sha != sha:
        raise NothingToDo("A newer commit exists, or the pull request is closed.")
    for check in ended:
        if check.workspace_id is None:
            await checks.begin_again(check)
    chosen = await _workspaces(ended)
    await heads.forget(chosen, repository.id, Ref(kind, number))
    return await pulls.follow_pull_request(repository, int(number), sender, delivery_id)


async def _workspaces(again: list[Check]) -> set[str]:
    """Those of the checks; an aggregate's are all whose check has ended on its commit."""
    chosen: set[str] = set()
    for check in again:
        rows = [check] if check.workspace_id is not None else await checks.members_of(check)
        chosen |= {row.workspace_id for row in rows if row.workspace_id is not None and row.is_final}
    return chosen

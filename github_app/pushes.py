"""Pushes: a run in each workspace that follows the branch or the tag, unless the files it watches did not change.

A push is only the reason to ask for the live commit.  Its files are those between the commit the workspace handled
last and the live one, never those of the one delivery: of two quick pushes the first may be the one that concerns the
workspace.  Source: `run-lifecycle.md` §8 and `github-app.md` §3.2, §3.7 of the protocol notes.
"""

from __future__ import annotations

from collections.abc import Collection

from app.configurations.ingress import Ingress
from app.vcs import filters, heads
from app.vcs.filters import ChangedFiles, Decision
from app.vcs.heads import Kind, Outcome, Ref
from app.vcs.models import Connection, Head, Repository
from github_app import api, following
from github_app.api import Api
from github_app.following import Concern, Occasion, Result
from github_app.payloads import Account, Push
from github_app.told import NothingToDo, Told

BRANCHES, TAGS, QUEUE = "refs/heads/", "refs/tags/", "refs/heads/gh-readonly-queue/"


async def on_push(told: Told[Push]) -> str:
    push = told.payload
    if push.ref.startswith(QUEUE):
        raise NothingToDo("A merge queue's branch; its merge group says what to plan.")
    repository = await following.repository_of(told.app, push.repository)
    if repository is None:
        raise NothingToDo("No workspace follows the repository.")
    if push.ref.startswith(BRANCHES):
        return await follow_branch(repository, push.ref.removeprefix(BRANCHES), push, told.delivery.id)
    if push.ref.startswith(TAGS) and not push.deleted:
        return await follow_tag(repository, push.ref.removeprefix(TAGS), push, told.delivery.id)
    raise NothingToDo("Neither a branch nor a new tag.")


async def follow_branch(
    repository: Repository, branch: str, push: Push | None = None, delivery_id: str | None = None
) -> str:
    """Bring the workspaces that follow *branch* to its live commit; *push* and its delivery, if that is why."""
    everyone = await following.connections_of(repository)
    connections = [one for one in everyone if not one.tags_regex and one.followed_branch == branch]
    if not connections:
        raise NothingToDo(f"No workspace follows the branch {branch}.")
    ref, asked = Ref(Kind.BRANCH, branch), api.of(repository.installation)
    sha = await asked.branch_head(repository, branch)
    if sha is None:
        return await _deleted(repository, ref, connections, push, delivery_id)
    handled = await heads.handled(repository.id, ref)
    behind = [one for one in connections if not heads.is_at(handled.get(one.workspace_id), sha)]
    if not behind:
        return f"Every workspace has handled {sha[:7]} already."
    occasion = await _occasion(asked, repository, ref, sha, push, delivery_id)
    return str(await _follow(asked, occasion, [(one, handled.get(one.workspace_id)) for one in behind]))


async def follow_tag(
    repository: Repository,
    tag: str,
    push: Push | None = None,
    delivery_id: str | None = None,
    *,
    among: Collection[str] | None = None,
) -> str:
    """Start a run of *tag* in each workspace whose tags regex it matches, whatever their branch.  Where *among* is
    given, only workspaces with these ids are looked at."""
    connections = [one for one in await following.connections_of(repository) if one.tags_regex]
    connections = [one for one in connections if among is None or one.workspace_id in among]
    if not connections:
        raise NothingToDo("No workspace follows tags.")
    ref, asked = Ref(Kind.TAG, tag), api.of(repository.installation)
    sha = await asked.commit_of_tag(repository, tag)
    if sha is None:
        raise NothingToDo(f"The tag {tag} is gone.")
    handled = await heads.handled(repository.id, ref)
    occasion = await _occasion(asked, repository, ref, sha, push, delivery_id)
    concerns: list[Concern] = []
    result = Result()
    for connection in connections:
        before = handled.get(connection.workspace_id)
        if not heads.is_at(before, sha):
            decision = filters.of_tag(following.watch_of(connection), tag)
            await _sort(occasion, connection, before, decision, concerns, result)
    return str(await _planned(asked, occasion, concerns, result))


async def _follow(asked: Api, occasion: Occasion, behind: list[tuple[Connection, Head | None]]) -> Result:
    concerns: list[Concern] = []
    result, changed = Result(), _Changes(asked, occasion)
    for connection, before in behind:
        decision = filters.of_files(following.watch_of(connection), await changed.since(before))
        await _sort(occasion, connection, before, decision, concerns, result)
    return await _planned(asked, occasion, concerns, result)


async def _sort(
    occasion: Occasion,
    connection: Connection,
    before: Head | None,
    decision: Decision,
    concerns: list[Concern],
    result: Result,
) -> None:
    if decision.concerned and await following.awaits_first_run(connection):
        concerns.append(Concern(connection, before, following.FIRST_RUN, queues=False))
    elif decision.concerned:
        concerns.append(Concern(connection, before, decision.reason))
    else:
        await following.pass_over(occasion, connection, before, decision.reason)
        result.unaffected.append(following.workspace_of(connection))


async def _planned(asked: Api, occasion: Occasion, concerns: list[Concern], result: Result) -> Result:
    planned = await following.plan(asked, occasion, concerns)
    planned.unaffected = result.unaffected
    return planned


class _Changes:
    """The files between what a workspace handled last and the live commit, each list asked for once."""

    def __init__(self, asked: Api, occasion: Occasion) -> None:
        self._api, self._occasion = asked, occasion
        self._known: dict[str, ChangedFiles] = {}

    async def since(self, before: Head | None) -> ChangedFiles:
        if before is None:
            return ChangedFiles.unknown(f"the workspace has handled no commit of {self._occasion.ref} before")
        if before.sha not in self._known:
            repository, sha = self._occasion.repository, self._occasion.sha
            self._known[before.sha] = await self._api.files_between(repository, before.sha, sha)
        return self._known[before.sha]


async def _deleted(
    repository: Repository, ref: Ref, connections: list[Connection], push: Push | None, delivery_id: str | None
) -> str:
    """Nothing runs; that its branch is gone stands on each workspace's page of events."""
    reason = f"The branch {ref} is gone from GitHub. Follow another one, or push it again."
    sha = push.before if push is not None else ""
    for connection in connections:
        await heads.record(connection.workspace_id, ref, sha, Outcome.SKIPPED, reason, delivery_id=delivery_id)
    await heads.close(repository.id, ref)
    return reason


async def _occasion(
    asked: Api, repository: Repository, ref: Ref, sha: str, push: Push | None, delivery_id: str | None
) -> Occasion:
    sender = (push.sender if push is not None else None) or Account()
    is_tag = ref.kind is Kind.TAG
    ingress = Ingress(
        identifier=repository.full_name,
        commit_sha=sha,
        commit_message=await _message(asked, repository, sha, push),
        commit_url=f"{repository.html_url}/commit/{sha}",
        compare_url=push.compare if push is not None and push.after == sha else "",
        clone_url=repository.clone_url,
        branch="" if is_tag else ref.name,
        tag=ref.name if is_tag else None,
        on_default_branch=not is_tag and ref.name == repository.default_branch,
        sender_username=sender.login,
        sender_avatar_url=sender.avatar_url,
        sender_html_url=sender.html_url,
    )
    return Occasion(repository, ref, sha, ingress, speculative=False, delivery_id=delivery_id)


async def _message(asked: Api, repository: Repository, sha: str, push: Push | None) -> str:
    """The push tells it already, unless another one came in between."""
    if push is not None and push.head_commit is not None and push.head_commit.id == sha:
        return push.head_commit.message
    commit = await asked.commit(repository, sha)
    return commit.message if commit is not None else ""

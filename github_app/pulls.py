"""Pull requests and merge groups: a plan nobody can apply in each workspace that would follow the merge.

The live pull request decides, not the delivery.  A newer head cancels the plans of older ones, whatever they do; so
does a close.  Strangers' forks are planned only where somebody let that one commit be planned (`forks.py`).  Source:
`github-app.md` §3.2-§3.4, §4.5, §4.7 and §6 of the protocol notes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from app.configurations.ingress import Ingress
from app.errors import StateroomError
from app.organizations.models import Organization
from app.runs.models import Run
from app.vcs import filters, fork_commits, heads
from app.vcs.filters import ChangedFiles
from app.vcs.fork_commits import Stranger
from app.vcs.heads import Kind, Outcome, Ref
from app.vcs.models import Connection, Head, Repository
from app.workspaces.models import Workspace
from github_app import api, checks, following, forks
from github_app.api import Api, Refused
from github_app.following import Concern, Occasion, Result
from github_app.forks import Barred
from github_app.models import Check
from github_app.payloads import Account, MergeGroupEvent, PullRequest, PullRequestEvent
from github_app.told import NothingToDo, Told


class Unseen(StateroomError):
    """GitHub does not show a pull request that it, or one of ours, told of: it may not know everywhere yet."""

    def __init__(self, ref: Ref) -> None:
        super().__init__(f"GitHub does not show the pull request {ref}.")


async def on_pull_request(told: Told[PullRequestEvent]) -> str:
    event = told.payload
    if event.action == "edited" and (event.changes is None or event.changes.base is None):
        raise NothingToDo("Neither its base nor its commits changed.")
    repository = await following.repository_of(told.app, event.repository)
    if repository is None:
        raise NothingToDo("No workspace follows the repository.")
    return await follow_pull_request(repository, event.pull_request.number, event.sender, told.delivery.id)


async def follow_pull_request(
    repository: Repository, number: int, sender: Account | None = None, delivery_id: str | None = None
) -> str:
    """Bring the plans and checks of a pull request to where it stands now.  Besides the usual, raises Unseen."""
    connections = await following.connections_of(repository)
    if not connections:
        raise NothingToDo("No workspace follows the repository.")
    ref, asked = Ref(Kind.PULL, str(number)), api.of(repository.installation)
    pull = await _live(asked, repository, ref)
    handled = await heads.handled(repository.id, ref)
    if pull.state != "open":
        return await _closed(repository, ref, handled)
    await _supersede(repository, ref, pull.head.sha, handled)
    occasion = await _occasion(asked, repository, ref, pull, sender, delivery_id)
    told = []
    for organization_id, group in _by_organization(connections).items():
        organization = await Organization.get(id=organization_id)
        told.append(str(await _follow(asked, occasion, pull, organization, group, handled)))
    return " ".join(told)


async def _live(asked: Api, repository: Repository, ref: Ref) -> PullRequest:
    try:
        pull = await asked.pull_request(repository, int(ref.name))
    except Refused as refusal:
        if refusal.status != 422:
            raise
        pull = None
    if pull is None:
        raise Unseen(ref)
    return pull


async def begin_checks(repository: Repository, number: int, sha: str) -> None:
    """Open the check of each organization that has none on the commit, although nothing is known of it yet."""
    begun = {check.organization_id for check in await checks.of_commit(repository, sha)}
    for organization_id in _by_organization(await following.connections_of(repository)):
        if organization_id not in begun:
            organization = await Organization.get(id=organization_id)
            await checks.open_aggregate(repository, organization, sha, Ref(Kind.PULL, str(number)))


async def on_merge_group(told: Told[MergeGroupEvent]) -> str:
    group = told.payload.merge_group
    repository = await following.repository_of(told.app, told.payload.repository)
    connections = await following.connections_of(repository) if repository is not None else []
    if repository is None or not connections:
        raise NothingToDo("No workspace follows the repository.")
    ref = Ref(Kind.GROUP, group.head_ref.removeprefix("refs/heads/")[-255:])
    handled = await heads.handled(repository.id, ref)
    if told.payload.action == "destroyed":
        return await _closed(repository, ref, handled)
    asked = api.of(repository.installation)
    sender = told.payload.sender or Account()
    ingress = Ingress(
        identifier=repository.full_name,
        commit_sha=group.head_sha,
        commit_message=group.head_commit.message if group.head_commit else "",
        commit_url=f"{repository.html_url}/commit/{group.head_sha}",
        clone_url=repository.clone_url,
        branch=ref.name,
        base_sha=group.base_sha,
        sender_username=sender.login,
        sender_avatar_url=sender.avatar_url,
        sender_html_url=sender.html_url,
    )
    occasion = Occasion(
        repository, ref, group.head_sha, ingress, True, base_sha=group.base_sha, delivery_id=told.delivery.id
    )
    base = group.base_ref.removeprefix("refs/heads/")
    sentences = []
    for organization_id, members in _by_organization(connections).items():
        organization = await Organization.get(id=organization_id)
        aggregate = await checks.open_aggregate(repository, organization, group.head_sha, ref)
        changed = await asked.files_between(repository, group.base_sha, group.head_sha)
        sentences.append(str(await _plan(asked, occasion, aggregate, members, base, changed, handled)))
    return " ".join(sentences)


async def _follow(
    asked: Api,
    occasion: Occasion,
    pull: PullRequest,
    organization: Organization,
    connections: Sequence[Connection],
    handled: dict[str, Head],
) -> Result:
    """The aggregate comes first: whatever follows, a check that is required must not be missing."""
    repository = occasion.repository
    aggregate = await checks.open_aggregate(repository, organization, occasion.sha, occasion.ref)
    changed = await asked.files_of_pull_request(repository, pull.number, pull.changed_files)
    stranger = _stranger_of(pull) if pull.is_from_fork else None
    return await _plan(asked, occasion, aggregate, connections, pull.base.ref, changed, handled, stranger=stranger)


@dataclass
class _Sorted:
    """What the workspaces are to make of the commit; sentences are by the workspaces' ids."""

    begun: list[str] = field(default_factory=list)  # runs of an earlier try
    concerns: list[Concern] = field(default_factory=list)
    unaffected: list[Workspace] = field(default_factory=list)
    waiting: dict[str, str] = field(default_factory=dict)
    denied: dict[str, str] = field(default_factory=dict)


async def _plan(
    asked: Api,
    occasion: Occasion,
    aggregate: Check,
    connections: Sequence[Connection],
    base: str,
    changed: ChangedFiles,
    handled: dict[str, Head],
    *,
    stranger: Stranger | None = None,
) -> Result:
    """Plan where it is wanted, and let the checks say the rest.  What an earlier try has begun is taken up again."""
    found = _Sorted()
    for connection in connections:
        before = handled.get(connection.workspace_id)
        if reason := _elsewhere(connection, base):
            await _leave(occasion, aggregate, connection, before, reason)
        elif before is not None and before.run_id is not None and heads.is_at(before, occasion.sha):
            found.begun.append(before.run_id)
        else:
            await _sort(found, occasion, connection, before, changed, is_fork=stranger is not None)
    if stranger is not None:
        await _note(occasion, stranger, connections, found)
    result = await following.plan(asked, occasion, found.concerns)
    result.unaffected = found.unaffected
    await checks.open_for_runs([*await Run.filter(id__in=found.begun), *result.runs], aggregate)
    await checks.settle(aggregate, failures=result.failures, waiting=found.waiting, denied=found.denied)
    return result


async def _sort(
    found: _Sorted,
    occasion: Occasion,
    connection: Connection,
    before: Head | None,
    changed: ChangedFiles,
    *,
    is_fork: bool,
) -> None:
    decision = filters.of_files(following.watch_of(connection), changed)
    barred: Barred | None = None
    if not decision.concerned:
        barred = Barred(Outcome.SKIPPED, decision.reason)
        found.unaffected.append(following.workspace_of(connection))
    elif await following.awaits_first_run(connection):
        barred = Barred(Outcome.WAITING, following.FIRST_RUN)
        found.denied[connection.workspace_id] = barred.reason
    else:
        verdict = await forks.verdict(occasion, connection) if is_fork else forks.OURS
        if isinstance(verdict, Barred):
            barred = verdict
            of_forks = found.waiting if barred.outcome is Outcome.WAITING else found.denied
            of_forks[connection.workspace_id] = barred.reason
        else:
            found.concerns.append(Concern(connection, before, decision.reason, approved_by=verdict.approved_by))
    if barred is not None and not heads.is_at(before, occasion.sha):
        await following.pass_over(occasion, connection, before, barred.reason, barred.outcome)


async def _note(occasion: Occasion, stranger: Stranger, connections: Sequence[Connection], found: _Sorted) -> None:
    """Let people see here what waits for them."""
    await fork_commits.note(
        occasion.repository.id,
        int(occasion.ref.name),
        occasion.sha,
        stranger,
        among=[one.workspace_id for one in connections],
        waiting=found.waiting,
    )


def _stranger_of(pull: PullRequest) -> Stranger:
    author, fork = pull.user or Account(), pull.head.repo
    return Stranger(pull.title, author.login, fork.full_name if fork is not None else "")


def _elsewhere(connection: Connection, base: str) -> str | None:
    """Why no pull request into *base* concerns the workspace, whatever it changes."""
    workspace = following.workspace_of(connection)
    if connection.tags_regex:
        return "The workspace follows tags only."
    if not workspace.speculative_enabled:
        return "Speculative plans are off in the workspace's settings."
    if connection.followed_branch != base:
        return f"The workspace follows {connection.followed_branch}, and this goes into {base}."
    return None


async def _leave(
    occasion: Occasion, aggregate: Check, connection: Connection, before: Head | None, reason: str
) -> None:
    """The pull request does not go where the workspace looks, or does not any more: its base was changed."""
    if before is None:
        return
    if before.run_id is not None:
        await following.cancel([before.run_id], reason)
    await checks.leave(aggregate, connection.workspace_id, occasion.ref, reason)
    await heads.forget([connection.workspace_id], occasion.repository.id, occasion.ref)
    await heads.record(
        connection.workspace_id,
        occasion.ref,
        occasion.sha,
        Outcome.SKIPPED,
        reason,
        delivery_id=occasion.delivery_id,
    )


async def _supersede(repository: Repository, ref: Ref, sha: str, handled: dict[str, Head]) -> None:
    """End what was begun for earlier commits; their checks say which commit came after."""
    older = [head.run_id for head in handled.values() if head.sha != sha and head.run_id is not None]
    why = f"Superseded by {sha[:7]}"
    await checks.supersede(repository, ref, sha)
    await following.cancel(older, f"{why}, a newer commit of {ref}.")


async def _closed(repository: Repository, ref: Ref, handled: dict[str, Head]) -> str:
    why = f"{ref} was closed."
    await checks.supersede(repository, ref, None)
    canceled = await following.cancel([head.run_id for head in handled.values() if head.run_id is not None], why)
    await heads.close(repository.id, ref)
    if ref.kind is Kind.PULL:
        await fork_commits.close(repository.id, int(ref.name))
    return f"{why} {canceled} {'plan' if canceled == 1 else 'plans'} canceled." if canceled else why


async def _occasion(
    asked: Api, repository: Repository, ref: Ref, pull: PullRequest, sender: Account | None, delivery_id: str | None
) -> Occasion:
    commit = await asked.commit(repository, pull.head.sha)
    person = sender or pull.user or Account()
    ingress = Ingress(
        identifier=repository.full_name,
        commit_sha=pull.head.sha,
        commit_message=commit.message if commit is not None else pull.title,
        commit_url=f"{repository.html_url}/commit/{pull.head.sha}",
        clone_url=repository.clone_url,
        branch=pull.head.ref,
        is_pull_request=True,
        on_default_branch=False,
        pull_request_number=pull.number,
        pull_request_url=pull.html_url,
        pull_request_title=pull.title,
        pull_request_body=pull.body,
        base_sha=pull.base.sha,
        sender_username=person.login,
        sender_avatar_url=person.avatar_url,
        sender_html_url=person.html_url,
    )
    return Occasion(repository, ref, pull.head.sha, ingress, True, base_sha=pull.base.sha, delivery_id=delivery_id)


def _by_organization(connections: Sequence[Connection]) -> dict[str, list[Connection]]:
    groups: dict[str, list[Connection]] = {}
    for connection in connections:
        groups.setdefault(following.workspace_of(connection).organization_id, []).append(connection)
    return groups

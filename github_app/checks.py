"""What GitHub is to see of the runs on a commit: a check for each workspace, and one for all of an organization's.

Kept as rows of `Check`, which `outbox.py` sends.  The organization's check is made first and always, since branch
protection waits for it; it ends when every workspace has.  A check that has ended is not set back: what begins again
is the next attempt, under the same name.  Everything here may be said twice.  Source: `github-app.md` §4.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Protocol

from tortoise.expressions import Q

from app import clock, ids, settings
from app.access.models import User
from app.organizations.models import Organization
from app.runs.models import Plan, Run, RunEvent
from app.storage import database
from app.storage.database import in_transaction
from app.vcs.models import Repository
from app.workspaces.models import Workspace
from github_app import verdicts
from github_app.check_names import name_of
from github_app.models import Check
from github_app.verdicts import Result, Verdict

#: A check that has not ended is written no more often; its end goes out at once.
PROGRESS_EVERY = timedelta(seconds=15)
#: What ended by itself in the moment in which a newer commit came, came to its end by that.
JUST_NOW = timedelta(minutes=2)
MOST_AT_ONCE = 500
#: Below the reason why a workspace plans nothing of a commit.
BLOCKS_NOTHING = "This check blocks nothing."

#: The checks first, whose runs are then few: SQLite would begin with all runs, and takes a cross join as it stands.
_BEHIND = """
SELECT c.id FROM github_checks c CROSS JOIN runs r
WHERE r.id = c.run_id AND c.is_final = FALSE AND c.wanted_number < r.event_count ORDER BY c.wanted_at LIMIT 500
"""


class Ref(Protocol):
    """A pull request by its number, a merge group by its branch: `heads.Ref`."""

    @property
    def kind(self) -> str: ...

    @property
    def name(self) -> str: ...


async def of_commit(repository: Repository, sha: str) -> list[Check]:
    """All of ours on it, the newest attempt of each."""
    rows = await Check.filter(repository_id=repository.id, head_sha=sha).order_by("attempt")
    newest = {(row.organization_id, row.workspace_id): row for row in rows}
    return sorted(newest.values(), key=lambda row: row.name)


async def is_overtaken(check: Check) -> bool:
    """Whether its workspace, or its organization, has a later attempt on the commit."""
    rows = Check.filter(repository_id=check.repository_id, head_sha=check.head_sha, attempt__gt=check.attempt)
    return await rows.filter(organization_id=check.organization_id, workspace_id=check.workspace_id).exists()


# -- opening ---------------------------------------------------------------------------------------------------------


async def open_aggregate(repository: Repository, organization: Organization, sha: str, ref: Ref) -> Check:
    """The organization's check of a commit, before anything else is known.  One that ended because a newer commit had
    come, the pull request was closed or nobody could say what belongs to it begins again; any other is left as it is.
    What GitHub would not hear of the commit's checks is due once more.
    """
    async with _alone(repository.id, organization.id, sha):
        await _owe_again(repository.id, organization.id, sha)
        newest = await _newest_aggregate(repository.id, organization.id, sha)
        stands = newest is not None and (newest.is_settled or not newest.is_final)
        if newest is not None and stands and newest.wanted["result"] != Result.SUPERSEDED:
            return newest
        return await _next_aggregate(repository, organization, sha, ref, newest)


async def begin_again(check: Check) -> Check:
    """Open the next attempt of the organization's check on the commit of *check*, unless one is under way.

    The runs that are opened then are the next attempts of their workspaces' checks.
    """
    async with _alone(check.repository_id, check.organization_id, check.head_sha):
        newest = await _newest_aggregate(check.repository_id, check.organization_id, check.head_sha)
        if newest is not None and not newest.is_final:
            return newest
        organization = await Organization.get(id=check.organization_id)
        repository = await Repository.get(id=check.repository_id)
        return await _next_aggregate(repository, organization, check.head_sha, _ref_of(check), newest)


async def open_for_runs(runs: Iterable[Run], aggregate: Check) -> list[Check]:
    """A check for each of *runs*, on the commit of *aggregate*; one that has its check already keeps it.  If the
    aggregate has ended, its next attempt is opened."""
    opened = []
    for run in runs:
        workspace = await Workspace.get(id=run.workspace_id)
        async with _alone(aggregate.repository_id, aggregate.organization_id, aggregate.head_sha):
            known = await Check.filter(run_id=run.id).first()
            check = known or await _open(workspace, aggregate, run)
            if known is None:
                await _reopen(aggregate)
            opened.append(check)
    return opened


async def settle(
    aggregate: Check,
    *,
    failures: Mapping[str, str] | None = None,
    waiting: Mapping[str, str] | None = None,
    denied: Mapping[str, str] | None = None,
    unaffected: Mapping[str, str] | None = None,
) -> Check:
    """Say that every workspace of the commit has its run, or why not: then the organization's check can end.

    Each maps the ids of workspaces to sentences: what failed before there was a run; forks that wait for an approval;
    forks that are not planned; what the commit does not touch (given only where a check is to say so).
    """
    barred = [
        *((id, verdicts.FAILURE, Result.FAILED, why, ()) for id, why in (failures or {}).items()),
        *(
            (id, verdicts.ACTION_REQUIRED, Result.WAITING, why, (verdicts.APPROVE_FORK,))
            for id, why in (waiting or {}).items()
        ),
        *((id, verdicts.NEUTRAL, Result.PASSED, why, ()) for id, why in (denied or {}).items()),
        *((id, verdicts.SKIPPED, Result.PASSED, why, ()) for id, why in (unaffected or {}).items()),
    ]
    workspaces = {row.id: row for row in await Workspace.filter(id__in=[id for id, *_ in barred])}
    async with _alone(aggregate.repository_id, aggregate.organization_id, aggregate.head_sha):
        for id, conclusion, result, why, buttons in barred:
            title = "Approval needed to plan a fork" if result is Result.WAITING else why
            said = BLOCKS_NOTHING if conclusion == verdicts.NEUTRAL else why
            verdict = verdicts.concluded(conclusion, title, said, result=result, buttons=buttons)
            if await _open_without_run(workspaces[id], aggregate, verdict):
                await _reopen(aggregate)
        newest = await _newest_aggregate(aggregate.repository_id, aggregate.organization_id, aggregate.head_sha)
        assert newest is not None, "an aggregate is never deleted"
        if not newest.is_final:
            await Check.filter(id=newest.id).update(is_settled=True)
            await _count(newest.repository_id, newest.organization_id, newest.head_sha)
        return await Check.get(id=newest.id)


# -- ending ----------------------------------------------------------------------------------------------------------


async def conclude_without_plans(
    check: Check,
    conclusion: str,
    title: str,
    summary: str = "",
    *,
    result: Result = Result.FAILED,
    buttons: Sequence[str] = (),
) -> None:
    """End *check* by what no plan decided, unless it has ended.  *summary* is Markdown; *result* is what a workspace's
    counts as in its organization's."""
    async with _alone(check.repository_id, check.organization_id, check.head_sha):
        await _conclude(check, verdicts.concluded(conclusion, title, summary, result=result, buttons=buttons))
        await _count(check.repository_id, check.organization_id, check.head_sha)


async def give_up(repository: Repository, sha: str, reason: str) -> None:
    """End the organizations' checks on *sha* of which nobody could say what belongs to them: *reason* says why not."""
    begun = Check.filter(repository_id=repository.id, head_sha=sha, workspace_id=None, is_final=False, is_settled=False)
    for aggregate in await begun:
        await conclude_without_plans(aggregate, verdicts.FAILURE, "The commit could not be planned", reason)


async def supersede(repository: Repository, ref: Ref, sha: str | None) -> int:
    """End the checks of all other commits of *ref*: *sha* has come after them, or None, and it was closed.  How many.

    That their runs are cancelled too is the caller's, before or after.
    """
    title = f"Superseded by {sha[:7]}" if sha else "Closed"
    verdict = verdicts.concluded(verdicts.CANCELLED, title, result=Result.SUPERSEDED)
    rows = Check.filter(repository_id=repository.id, kind=str(ref.kind), ref=ref.name)
    recent = Q(is_final=False) | Q(wanted_at__gt=clock.now() - JUST_NOW)
    ended = 0
    for check in await rows.filter(recent).exclude(head_sha=sha or "").order_by("workspace_id"):
        async with _alone(check.repository_id, check.organization_id, check.head_sha):
            if check.workspace_id is None and await _others(check):
                await _count(check.repository_id, check.organization_id, check.head_sha)
            else:
                ended += await _conclude(check, verdict)
    return ended


async def leave(aggregate: Check, workspace_id: str, ref: Ref, reason: str) -> None:
    """Let a workspace that *ref* concerns no more, for *reason*, count no more on the commit of *aggregate*.

    Whether its check has ended or not it says so; an organization's check that has counted it begins again.  The caller
    settles that one.
    """
    verdict = verdicts.concluded(verdicts.CANCELLED, reason, result=Result.SUPERSEDED)
    async with _alone(aggregate.repository_id, aggregate.organization_id, aggregate.head_sha):
        for check in await members_of(aggregate):
            is_it = check.workspace_id == workspace_id and (check.kind, check.ref) == (str(ref.kind), ref.name)
            if is_it and check.wanted["result"] != Result.SUPERSEDED:
                await _write(check, verdict, check.wanted_number + 1)
                await _reopen(aggregate)
                await _count(aggregate.repository_id, aggregate.organization_id, aggregate.head_sha)


async def refuse(check: Check, sentence: str) -> None:
    """Say below a check that has ended why its button did nothing."""
    async with _alone(check.repository_id, check.organization_id, check.head_sha):
        fresh = await Check.get(id=check.id)
        if fresh.is_final:
            verdict = replace(Verdict.from_json(fresh.wanted), summary=sentence)
            await _write(fresh, verdict, fresh.wanted_number + 1)


# -- following the runs ----------------------------------------------------------------------------------------------


async def on_move(event: RunEvent) -> None:
    """Let the checks of a run say what it is now, whichever of its events this was."""
    for check in await Check.filter(run_id=event.run.id, is_final=False):
        await _follow(check)


async def catch_up() -> int:
    """Follow the runs whose moves were not heard.  How many checks there were."""
    rows = await database.client().execute_query_dict(_BEHIND)
    for check in await Check.filter(id__in=[row["id"] for row in rows]):
        await _follow(check)
    return len(rows)


async def _follow(check: Check) -> None:
    """A listener that comes late finds the newer number and writes nothing; so does one that finds the check ended."""
    async with _alone(check.repository_id, check.organization_id, check.head_sha):
        run = await Run.get(id=check.run_id)
        canceler = await User.get_or_none(id=run.canceled_by_id) if run.canceled_by_id else None
        plan = await Plan.get_or_none(run_id=run.id)
        verdict = verdicts.of_run(run, plan, canceled_by=canceler.username if canceler else None)
        fresh = await Check.get(id=check.id)
        if not fresh.is_final and await _write(fresh, verdict, run.event_count):
            await _count(check.repository_id, check.organization_id, check.head_sha)


# -- rows, all of it while nobody else is at the commit's --------------------------------------------------------------


@asynccontextmanager
async def _alone(repository_id: str, organization_id: str, sha: str) -> AsyncIterator[None]:
    """A transaction that nobody else has at the checks of the organization on the commit."""
    async with in_transaction():
        await database.lock(f"checks {repository_id} {organization_id} {sha}")
        yield


async def _owe_again(repository_id: str, organization_id: str, sha: str) -> None:
    """It is worth a day of tries again."""
    rows = Check.filter(repository_id=repository_id, organization_id=organization_id, head_sha=sha)
    now = clock.now()
    await rows.filter(failure__not_isnull=True).update(next_at=now, wanted_at=now)


async def _newest_aggregate(repository_id: str, organization_id: str, sha: str) -> Check | None:
    rows = Check.filter(repository_id=repository_id, head_sha=sha, organization_id=organization_id, workspace_id=None)
    return await rows.order_by("-attempt").first()


async def _next_aggregate(
    repository: Repository, organization: Organization, sha: str, ref: Ref, before: Check | None
) -> Check:
    check = _row(repository.id, organization.id, sha, ref, name_of(organization.name))
    check.attempt = 1 + (before.attempt if before is not None else 0)
    return await _create(check, verdicts.of_all([], is_settled=False), 1)


async def _reopen(aggregate: Check) -> None:
    """Workspaces came to the commit, or left it, although its organization's check has ended."""
    newest = await _newest_aggregate(aggregate.repository_id, aggregate.organization_id, aggregate.head_sha)
    if newest is None or not newest.is_final:
        return
    organization = await Organization.get(id=aggregate.organization_id)
    repository = await Repository.get(id=aggregate.repository_id)
    await _next_aggregate(repository, organization, aggregate.head_sha, _ref_of(aggregate), newest)


async def _open(workspace: Workspace, aggregate: Check, run: Run) -> Check:
    check, _ = await _prepared(workspace, aggregate)
    check.run_id = run.id
    fresh = await Run.get(id=run.id)
    plan = await Plan.get_or_none(run_id=run.id)
    return await _create(check, verdicts.of_run(fresh, plan, canceled_by=None), fresh.event_count)


async def _open_without_run(workspace: Workspace, aggregate: Check, verdict: Verdict) -> bool:
    """False if the newest attempt says so already."""
    check, before = await _prepared(workspace, aggregate)
    if before is not None and before.run_id is None and before.wanted == verdict.as_json():
        return False
    await _create(check, verdict, 1)
    return True


async def _prepared(workspace: Workspace, aggregate: Check) -> tuple[Check, Check | None]:
    """The next attempt of a workspace's check, not stored yet, and the one before."""
    organization = await Organization.get(id=aggregate.organization_id)
    of_all = Check.filter(repository_id=aggregate.repository_id, head_sha=aggregate.head_sha)
    of_all = of_all.filter(organization_id=organization.id).filter(workspace_id__not_isnull=True)
    before = await of_all.filter(workspace_id=workspace.id).order_by("-attempt").first()
    check = _row(
        aggregate.repository_id,
        organization.id,
        aggregate.head_sha,
        _ref_of(aggregate),
        name_of(organization.name, workspace.name),
    )
    check.workspace_id = workspace.id
    if before is not None:
        check.attempt, check.is_shown = before.attempt + 1, before.is_shown
    else:
        check.is_shown = await of_all.filter(is_shown=True, attempt=1).count() < settings.current().checks_per_commit
    return check, before


def _row(repository_id: str, organization_id: str, sha: str, ref: Ref, name: str) -> Check:
    check = Check(id=ids.new("github_check"), repository_id=repository_id, organization_id=organization_id, name=name)
    check.head_sha, check.kind, check.ref = sha, str(ref.kind), ref.name
    return check


async def _create(check: Check, verdict: Verdict, number: int) -> Check:
    now = clock.now()
    check.wanted, check.wanted_number, check.wanted_at = verdict.as_json(), number, now
    check.is_final, check.next_at = verdict.is_final, now if check.is_shown else None
    await check.save(force_create=True)
    return check


async def _conclude(check: Check, verdict: Verdict) -> bool:
    """False if *check* has ended otherwise.  That it was cancelled by nobody is taken for a consequence."""
    fresh = await Check.get(id=check.id)
    was = Verdict.from_json(fresh.wanted)
    by_itself = verdict.result is Result.SUPERSEDED and was.result is Result.CANCELLED
    if fresh.is_final and not (by_itself and was.title == verdicts.CANCELED_BY_NOBODY):
        return False
    return await _write(fresh, verdict, fresh.wanted_number + 1)


async def _write(check: Check, verdict: Verdict, number: int) -> bool:
    """Let *check* say that; False if what it says is newer."""
    if check.wanted_number >= number:
        return False
    now, wanted = clock.now(), verdict.as_json()
    written: dict[str, object] = {"wanted_number": number}
    if wanted != check.wanted:
        written |= {"wanted": wanted, "wanted_at": now, "is_final": verdict.is_final}
        if check.is_shown:
            written |= {"next_at": _due(check, verdict, now), "failure": None}
    await Check.filter(id=check.id).update(**written)
    return True


def _due(check: Check, verdict: Verdict, now: datetime) -> datetime:
    if verdict.is_final or check.sent_at is None:
        return now
    return max(now, check.sent_at + PROGRESS_EVERY)


async def _count(repository_id: str, organization_id: str, sha: str) -> None:
    """Let the organization's check say what its workspaces have come to."""
    aggregate = await _newest_aggregate(repository_id, organization_id, sha)
    if aggregate is None or aggregate.is_final:
        return
    members = [Verdict.from_json(member.wanted) for member in await members_of(aggregate)]
    verdict = verdicts.of_all(members, is_settled=aggregate.is_settled)
    if verdict.as_json() != aggregate.wanted:
        await _write(aggregate, verdict, aggregate.wanted_number + 1)


async def members_of(aggregate: Check) -> list[Check]:
    """The workspaces' checks that *aggregate* counts, the newest of each."""
    rows = Check.filter(repository_id=aggregate.repository_id, head_sha=aggregate.head_sha)
    rows = rows.filter(organization_id=aggregate.organization_id).filter(workspace_id__not_isnull=True)
    newest = {row.workspace_id: row for row in await rows.order_by("attempt")}
    return sorted(newest.values(), key=lambda row: row.name)


async def waiting(check: Check) -> set[str]:
    """The ids of the workspaces that wait for an approval of the commit, as *check* says: its own, or those that it
    counts."""
    members = await members_of(check)
    asked = [row for row in members if check.workspace_id in (None, row.workspace_id)]
    return {str(row.workspace_id) for row in asked if row.wanted["result"] == Result.WAITING}


async def _others(aggregate: Check) -> bool:
    """Whether workspaces came to the commit by another pull request too."""
    rows = Check.filter(repository_id=aggregate.repository_id, head_sha=aggregate.head_sha)
    rows = rows.filter(organization_id=aggregate.organization_id).filter(workspace_id__not_isnull=True)
    return await rows.filter(~Q(kind=aggregate.kind, ref=aggregate.ref)).exists()


class _Of:
    """The ref a check was opened for."""

    def __init__(self, check: Check) -> None:
        self.kind, self.name = check.kind, check.ref


def _ref_of(check: Check) -> Ref:
    return _Of(check)

"""What GitHub is to see of a commit follows its runs, whatever comes late, twice or not at all."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from app import events, runs
from app.access.actors import SYSTEM
from app.organizations.models import Organization
from app.runs.models import Run, RunEvent
from app.settings import Settings
from app.vcs.models import Repository
from app.workspaces.models import Workspace
from github_app import check_bodies, check_names, checks, verdicts
from github_app.models import Check
from github_app.verdicts import Result
from tests import factories
from tests.github.rows import Ref, make_repository

SHA, NEXT = "a" * 40, "b" * 40
REF = Ref()


@pytest.fixture
async def repository(opened: Settings) -> Repository:
    return await make_repository()


@pytest.fixture
async def organization(opened: Settings) -> Organization:
    return await factories.make_organization("acme")


async def speculative(organization: Organization, name: str | None = None, **given: Any) -> tuple[Workspace, Run]:
    workspace = await factories.make_workspace(organization, name)
    return workspace, await factories.make_run(workspace, speculative=True, **given)


async def wanted(check: Check) -> tuple[Any, Any, Any]:
    fresh = await Check.get(id=check.id)
    return fresh.wanted["status"], fresh.wanted["conclusion"], fresh.wanted["title"]


async def test_checks_follow_their_runs_to_the_end(repository: Repository, organization: Organization) -> None:
    aggregate = await checks.open_aggregate(repository, organization, SHA, REF)
    assert await wanted(aggregate) == ("queued", None, "Looking which workspaces are affected")
    (_, one), (_, two) = await speculative(organization, "one"), await speculative(organization, "two")
    first, second = await checks.open_for_runs([one, two], aggregate)
    assert (aggregate.name, first.name) == ("stateroom.test / acme", "stateroom.test / acme / one")
    assert await wanted(first) == ("queued", None, "Waiting for a worker")
    await factories.plan(one, changes=False)
    assert await wanted(first) == ("completed", "success", "No changes")
    assert (await wanted(aggregate))[0] == "queued"  # more workspaces might come
    await checks.settle(aggregate)
    assert await wanted(aggregate) == ("in_progress", None, "1 of 2 workspaces done")
    await factories.plan(two)
    assert await wanted(second) == ("completed", "success", "Changes")
    assert await wanted(aggregate) == ("completed", "success", "2 workspaces: 1 changed, 1 unchanged")
    assert (await Check.get(id=aggregate.id)).next_at is not None


async def test_a_commit_that_touches_nothing_passes(repository: Repository, organization: Organization) -> None:
    aggregate = await checks.settle(await checks.open_aggregate(repository, organization, SHA, REF))
    assert await wanted(aggregate) == ("completed", "success", "No affected workspaces")


async def test_opening_twice_opens_once(repository: Repository, organization: Organization) -> None:
    _, run = await speculative(organization)
    opened = await asyncio.gather(*(checks.open_aggregate(repository, organization, SHA, REF) for _ in range(4)))
    assert len({check.id for check in opened}) == 1
    both = [await checks.open_for_runs([run], opened[0]) for _ in range(2)]
    assert both[0][0].id == both[1][0].id
    assert await Check.all().count() == 2


async def test_what_is_heard_late_or_twice_changes_nothing(repository: Repository, organization: Organization) -> None:
    aggregate = await checks.open_aggregate(repository, organization, SHA, REF)
    _, run = await speculative(organization)
    [check] = await checks.open_for_runs([run], aggregate)
    await checks.settle(aggregate)
    await factories.plan(run)
    before = await Check.get(id=check.id)
    for event in await RunEvent.filter(run_id=run.id).order_by("-number").prefetch_related("run"):
        await checks.on_move(event)
    after = await Check.get(id=check.id)
    assert (after.wanted, after.wanted_number) == (before.wanted, before.wanted_number)


async def test_a_superseded_check_stays_so_though_its_run_ends_well(
    repository: Repository, organization: Organization
) -> None:
    aggregate = await checks.open_aggregate(repository, organization, SHA, REF)
    _, run = await speculative(organization)
    [check] = await checks.open_for_runs([run], aggregate)
    await checks.settle(aggregate)
    newer = await checks.open_aggregate(repository, organization, NEXT, REF)
    assert await checks.supersede(repository, REF, NEXT) == 2
    await factories.plan(run)
    for one in (check, aggregate):
        assert await wanted(one) == ("completed", "cancelled", f"Superseded by {NEXT[:7]}")
    assert (await wanted(newer))[0] == "queued"


async def test_a_run_cancelled_by_us_first_is_superseded_too(
    repository: Repository, organization: Organization
) -> None:
    aggregate = await checks.open_aggregate(repository, organization, SHA, REF)
    _, run = await speculative(organization)
    [check] = await checks.open_for_runs([run], aggregate)
    await checks.settle(aggregate)
    await runs.cancel(SYSTEM, run)
    assert await wanted(check) == ("completed", "cancelled", "Cancelled")
    await checks.supersede(repository, REF, None)
    assert await wanted(check) == ("completed", "cancelled", "Closed")


async def test_a_reopened_pull_request_has_its_check_again(repository: Repository, organization: Organization) -> None:
    aggregate = await checks.open_aggregate(repository, organization, SHA, REF)
    await checks.supersede(repository, REF, None)
    again = await checks.open_aggregate(repository, organization, SHA, REF)
    assert (again.attempt, again.name, again.is_final) == (2, aggregate.name, False)
    await checks.settle(aggregate)  # whoever has the old one means the newest
    assert await wanted(again) == ("completed", "success", "No affected workspaces")


async def test_a_fork_waits_and_begins_again_once_it_is_approved(
    repository: Repository, organization: Organization
) -> None:
    workspace = await factories.make_workspace(organization)
    aggregate = await checks.open_aggregate(repository, organization, SHA, REF)
    for _ in range(2):  # the delivery came twice
        await checks.settle(aggregate, waiting={workspace.id: "It comes from a fork."})
    assert await wanted(aggregate) == ("completed", "action_required", "1 workspace: 1 waiting for approval")
    assert (await Check.get(id=aggregate.id)).wanted["buttons"] == ["approve_fork"]
    await checks.refuse(aggregate, "Link your account first.")
    assert (await Check.get(id=aggregate.id)).wanted["summary"] == "Link your account first."
    again = await checks.begin_again(aggregate)
    run = await factories.make_run(workspace, speculative=True)
    [check] = await checks.open_for_runs([run], aggregate)
    await checks.settle(again)
    assert (again.attempt, check.attempt) == (2, 2)
    await factories.plan(run, changes=False)
    assert await wanted(again) == ("completed", "success", "1 workspace: 1 unchanged")
    assert await Check.all().count() == 4


@pytest.mark.parametrize(
    ("given", "conclusion"),
    [("failures", "failure"), ("denied", "neutral"), ("unaffected", "neutral"), ("waiting", "action_required")],
)
async def test_workspaces_without_runs_count(
    repository: Repository, organization: Organization, given: str, conclusion: str
) -> None:
    workspace = await factories.make_workspace(organization)
    aggregate = await checks.open_aggregate(repository, organization, SHA, REF)
    await checks.settle(aggregate, **{given: {workspace.id: "The archive of aaaaaaa cannot be fetched."}})
    assert (await wanted(aggregate))[1] == conclusion


async def test_what_cannot_be_decided_fails_with_its_cause(repository: Repository, organization: Organization) -> None:
    aggregate = await checks.open_aggregate(repository, organization, SHA, REF)
    await checks.conclude_without_plans(aggregate, verdicts.FAILURE, "GitHub is away", "It answered **502**.")
    await checks.conclude_without_plans(aggregate, verdicts.SUCCESS, "too late", result=Result.UNCHANGED)
    assert await wanted(aggregate) == ("completed", "failure", "GitHub is away")


async def test_the_twentyfirst_workspace_counts_and_has_no_check(
    repository: Repository, organization: Organization
) -> None:
    aggregate = await checks.open_aggregate(repository, organization, SHA, REF)
    made = [await speculative(organization) for _ in range(21)]
    opened = await checks.open_for_runs([run for _, run in made], aggregate)
    assert [check.is_shown for check in opened] == [True] * 20 + [False]
    assert (await Check.get(id=opened[-1].id)).next_at is None
    await checks.settle(aggregate)
    assert (await wanted(aggregate))[2] == "0 of 21 workspaces done"


async def test_two_organizations_do_not_count_each_other(repository: Repository, organization: Organization) -> None:
    other = await factories.make_organization("umbrella")
    ours = await checks.open_aggregate(repository, organization, SHA, REF)
    theirs = await checks.open_aggregate(repository, other, SHA, REF)
    _, run = await speculative(other)
    await checks.open_for_runs([run], theirs)
    await checks.settle(ours)
    await checks.settle(theirs)
    assert (await wanted(ours))[2] == "No affected workspaces"
    assert (await wanted(theirs))[2] == "0 of 1 workspace done"


async def test_moves_that_nobody_heard_are_followed_later(repository: Repository, organization: Organization) -> None:
    aggregate = await checks.open_aggregate(repository, organization, SHA, REF)
    _, run = await speculative(organization)
    [check] = await checks.open_for_runs([run], aggregate)
    await checks.settle(aggregate)
    events.run_moved.forget()
    await factories.plan(run, changes=False)
    assert (await wanted(check))[0] == "queued"
    assert await checks.catch_up() == 1
    assert await wanted(aggregate) == ("completed", "success", "1 workspace: 1 unchanged")
    assert await checks.catch_up() == 0


async def test_a_check_is_found_by_what_github_says_of_it(repository: Repository, organization: Organization) -> None:
    aggregate = await checks.open_aggregate(repository, organization, SHA, REF)
    workspace, run = await speculative(organization)
    [check] = await checks.open_for_runs([run], aggregate)
    for one in (aggregate, check):
        body = await check_bodies.body_of(one)
        found = await check_names.find(repository, body["external_id"])
        assert found is not None
        assert found.id == one.id
    assert check_names.external_id(check) == f"v1:{run.id}:1"
    elsewhere = await make_repository()
    for identifier in ("", "v1", "v2:x:1", "v1:agg:", "v1:agg:nope", f"v1:{run.id}:٣", f"v1:{run.id}:99999999999"):
        assert await check_names.find(repository, identifier) is None
    assert await check_names.find(elsewhere, check_names.external_id(check)) is None
    assert [one.id for one in await checks.of_commit(repository, SHA)] == [aggregate.id, check.id]
    assert workspace.name in (await check_bodies.body_of(check))["details_url"]


async def test_names_fit_and_differ(settings: Settings) -> None:
    names = {check_names.name_of("o" * 40, "w" * 89 + end) for end in "ab"}
    assert len(names) == 2
    assert all(len(name) == 100 for name in names)

"""What is foretold of the queue is what claims do."""

from __future__ import annotations

import pytest

from app.access.actors import SYSTEM
from app.jobs import claims, order, workers
from app.jobs.models import Job
from app.organizations.models import Organization
from app.runs import lists, waiting
from app.runs.models import Run
from app.settings import Settings
from tests import factories
from tests.integration.crowd import crowd

pytestmark = pytest.mark.usefixtures("opened")

TOOLS = {"terraform/1.11.4"}


@pytest.fixture(autouse=True)
async def worker(opened: Settings) -> None:
    await workers.register("wrk-1", "one", 2, TOOLS)


async def claimed_until_nothing_is_left() -> list[int]:
    numbers = []
    while (claimed := await claims.claim("wrk-1", TOOLS)) is not None:
        numbers.append(claimed.job.number)
    return numbers


async def test_jobs_are_claimed_in_the_foretold_order_turns_and_classes_and_organizations_included() -> None:
    """Thirty jobs: each tenth claim goes to the line that waited longest, among them a speculative one."""
    for organization, (applies, plans, speculative) in {"a": (9, 4, 3), "b": (0, 8, 1), "c": (2, 0, 3)}.items():
        made = await factories.make_organization(f"org-{organization}")
        for priority, count in enumerate((applies, plans, speculative)):
            await crowd(made, count, priority=priority)
    await claims.claim("wrk-1", TOOLS)
    foretold = await order.foretell()
    assert len(foretold.numbers) == 29
    assert await claimed_until_nothing_is_left() == list(foretold.numbers)


async def test_what_no_worker_has_and_what_is_above_a_cap_has_no_place() -> None:
    capped, other = await factories.make_organization(), await factories.make_organization()
    await Organization.filter(id=capped.id).update(running_jobs_cap=2)
    first = await crowd(capped, 4)
    await crowd(other, 2, terraform_version="0.9.0")
    foretold = await order.foretell()
    assert foretold.numbers == tuple(first[:2])
    assert foretold.ahead_of(first[2]) is None
    assert await claimed_until_nothing_is_left() == first[:2]
    runs = await Run.filter(organization_id__in=[capped.id, other.id]).order_by("organization_id", "number")
    said = await waiting.reasons_of(runs)
    assert {said[run.id].reason for run in runs if run.organization_id == other.id} == {"no-worker"}
    assert [said[run.id].reason for run in runs if run.organization_id == capped.id and run.id in said] == ["share"] * 2


async def test_the_tenth_claim_keeps_to_the_cap() -> None:
    capped, other = await factories.make_organization(), await factories.make_organization()
    await Organization.filter(id=capped.id).update(running_jobs_cap=1)
    await crowd(capped, 3)
    await crowd(other, 30, priority=0)
    organizations = [(await Job.get(number=number)).organization_id for number in await claimed_until_nothing_is_left()]
    assert len(organizations) == 31
    assert organizations.count(capped.id) == 1


async def test_a_waiting_line_is_served_within_ten_claims_per_line_whatever_goes_before_it() -> None:
    busy, patient = await factories.make_organization(), await factories.make_organization()
    await crowd(busy, 60, priority=0)
    [speculative] = await crowd(patient, 1, priority=2)
    assert (await claimed_until_nothing_is_left()).index(speculative) < 2 * order.TURN


async def test_the_organizations_queue_has_what_runs_first_and_then_the_order_of_the_claims() -> None:
    ours, theirs = await factories.make_organization(), await factories.make_organization()
    for organization in (theirs, ours):
        for priority, count in ((2, 3), (1, 5), (0, 2)):
            await crowd(organization, count, priority=priority)
    for _ in range(3):
        await claims.claim("wrk-1", TOOLS)
    capacity = await lists.capacity_of(SYSTEM, ours)
    assert capacity.running + capacity.pending == 10
    listed: list[tuple[str, int]] = []
    for offset in range(0, 12, 4):
        page, total = await lists.queue_of(SYSTEM, ours, offset, 4)
        assert total == 10
        listed += [(run.id, position) for run, position in page]
    assert [position for _, position in listed] == list(range(1, 11))
    expected = [job.run_id for job in await Job.filter(organization_id=ours.id, worker_id="wrk-1").order_by("number")]
    assert len(expected) == capacity.running
    while (claimed := await claims.claim("wrk-1", TOOLS)) is not None:
        if claimed.job.organization_id == ours.id:
            expected.append(claimed.job.run_id)
    assert [run for run, _ in listed] == expected


async def test_each_waiting_run_names_how_many_jobs_go_before_it() -> None:
    organization = await factories.make_organization()
    numbers = await crowd(organization, 5)
    runs = {run.id: run for run in await Run.filter(organization_id=organization.id)}
    said = await waiting.reasons_of(list(runs.values()))
    jobs = {job.run_id: job.number for job in await Job.all()}
    assert {jobs[run]: reason.ahead for run, reason in said.items()} == dict(zip(numbers, range(5), strict=True))
    assert sorted(reason.sentence for reason in said.values())[0] == "Waiting for a worker; 1st in line"

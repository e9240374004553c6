"""Cancel, force-cancel, time limits: terraform is interrupted, what it finished is kept."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta

import pytest
from tortoise.expressions import F

from app import clock, runs
from app.access.actors import SYSTEM
from app.execution import phases
from app.execution.orders import Order
from app.execution.slot import Lease
from app.execution.work import Work
from app.jobs.models import Job
from app.organizations.models import Organization
from app.runs import logs
from app.runs.models import Apply, Plan, Run
from app.workspaces.models import Workspace
from tests import factories
from tests.integration.execution.conftest import (
    HELD,
    PATIENCE,
    Crew,
    cleared,
    rested,
    slow,
    start,
    state_of,
    until_log_says,
    whole_log,
)
from tests.integration.execution.state_api import holding


async def applying(seconds: int = 600, **given: object) -> Run:
    home = await factories.make_workspace(terraform_version="1.11.4")
    run = await start(slow(seconds), home, auto_apply=True, **given)
    await until_log_says(run, "has begun", "apply")
    await run.refresh_from_db()
    return run


async def test_a_canceled_apply_keeps_what_was_finished_and_frees_the_workspace(crew: Crew) -> None:
    run = await applying()
    asked = time.monotonic()
    await runs.cancel(SYSTEM, run)
    await rested(run, "apply")
    assert time.monotonic() - asked < 10
    assert run.status == "canceled"
    names = [resource["name"] for resource in (await state_of(run))["resources"]]
    assert "first" in names
    assert (await Workspace.get(id=run.workspace_id)).locked_by_run_id is None
    await cleared(crew.station.settings)
    assert await Job.filter(closed_at=None).count() == 0


async def test_a_force_canceled_run_ends_in_the_database_first_and_its_processes_after(crew: Crew) -> None:
    holding.set()
    run = await start(HELD)
    await until_log_says(run, "data.terraform_remote_state.held: Reading...")
    await runs.cancel(SYSTEM, await Run.get(id=run.id))
    await until_log_says(run, "Interrupt received")
    await run.refresh_from_db()
    assert run.status == "planning"
    await runs.force_cancel(SYSTEM, run)
    await run.refresh_from_db()
    assert run.status == "canceled"
    assert run.force_canceled_at is not None
    assert (await Workspace.get(id=run.workspace_id)).locked_by_run_id is None
    assert "Interrupt received" in await whole_log(run)
    await cleared(crew.station.settings)
    plan = await Plan.get(run_id=run.id)
    assert plan.log_ended


async def test_a_force_cancel_that_its_worker_hears_of_last_leaves_the_state_of_the_apply(
    crew: Crew, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hear_nothing(lease: Lease) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(Lease, "keep", hear_nothing)
    run = await applying(4)
    await runs.cancel(SYSTEM, run)
    await Run.filter(id=run.id).update(force_cancel_available_at=clock.now())
    await runs.force_cancel(SYSTEM, await Run.get(id=run.id))
    await Apply.filter(run_id=run.id).update(log_closed_at=clock.now() - timedelta(minutes=1))
    assert await logs.end_abandoned() == 1
    await cleared(crew.station.settings)
    assert "second" in [resource["name"] for resource in (await state_of(run))["resources"]]


@pytest.mark.parametrize(("phase", "begun"), [("plan", "planning-at"), ("apply", "applying-at")])
async def test_a_run_canceled_between_the_claim_and_the_beginning_of_its_phase_never_begins(
    phase: str, begun: str, crew: Crew, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_claimed, may_begin, begin = asyncio.Event(), asyncio.Event(), phases._started

    async def late(work: Work) -> Order | None:
        if work.subject.job.phase == phase:
            is_claimed.set()
            await may_begin.wait()
        return await begin(work)

    monkeypatch.setattr(phases, "_started", late)
    run = await start({"main.tf": 'resource "terraform_data" "x" {}'}, auto_apply=True)
    await is_claimed.wait()
    await runs.cancel(SYSTEM, await Run.get(id=run.id))
    await run.refresh_from_db()
    assert run.status == "canceled"
    may_begin.set()
    await cleared(crew.station.settings)
    await run.refresh_from_db()
    assert run.status == "canceled"
    assert begun not in run.status_timestamps
    assert (await Workspace.get(id=run.workspace_id)).current_state_version_id is None
    async with asyncio.timeout(PATIENCE):
        while await Job.filter(run_id=run.id, closed_at=None).exists():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_a_run_canceled_while_it_waits_for_a_slot_never_starts(crew: Crew) -> None:
    crew.gate.problem = "not now"
    run = await start({"main.tf": ""})
    await runs.cancel(SYSTEM, run)
    assert run.status == "canceled"
    assert await whole_log(run) == ""
    assert await whole_log(run, "apply") == ""


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_an_apply_that_takes_too_long_is_interrupted_and_errored(crew: Crew) -> None:
    home = await factories.make_workspace(terraform_version="1.11.4")
    await Organization.filter(id=home.organization_id).update(apply_timeout_seconds=3)
    run = await rested(await start(slow(600), home, auto_apply=True), "apply")
    assert run.status == "errored"
    assert run.failure is not None
    assert ("took longer than it may" in run.failure, run.is_timed_out) == (True, True)
    assert "first" in [resource["name"] for resource in (await state_of(run))["resources"]]


async def test_a_bell_rung_twice_starts_nothing_twice(crew: Crew) -> None:
    run = await start({"main.tf": 'resource "terraform_data" "one" {}\n'}, auto_apply=True)
    for _ in range(20):
        crew.ring()
        await asyncio.sleep(0)
    await rested(run, "apply")
    assert (await whole_log(run)).count("Terraform v1.11.4") == 1
    assert (await whole_log(run, "apply")).count("Terraform v1.11.4") == 1
    assert await Job.filter(run_id=run.id).count() == 2


async def test_a_plan_that_ends_before_it_hears_of_its_cancel_is_canceled_all_the_same(crew: Crew) -> None:
    run = await start({"main.tf": 'resource "terraform_data" "one" {}\n'}, auto_apply=True)
    await until_log_says(run, "Terraform v1.11.4")
    # The wish alone, without the word that interrupts terraform at once; the next renewal may find it or not.
    await Run.filter(id=run.id).update(cancel_requested_at=clock.now(), event_count=F("event_count") + 1)
    assert (await rested(run, "apply")).status == "canceled"
    assert await Job.filter(run_id=run.id, phase="apply").count() == 0
    assert (await Workspace.get(id=run.workspace_id)).locked_by_run_id is None

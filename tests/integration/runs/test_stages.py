"""Runs with engines plugged into the stages between plan and apply, and what a person may do with those that wait."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from app import runs, workspaces
from app.access.actors import SYSTEM
from app.errors import Conflict, Forbidden, Invalid
from app.jobs.models import Job
from app.runs import moves, queue, stages
from app.runs.models import Run, RunEvent
from app.runs.stages import Engine
from app.runs.statuses import Stage
from app.workspaces.models import Workspace
from tests import factories

pytestmark = pytest.mark.usefixtures("opened")


@pytest.fixture
def engines() -> Iterator[list[str]]:
    """Every engine plugged in; what they were told."""
    told: list[str] = []

    async def wants(run: Run, workspace: Workspace) -> bool:
        return True

    for stage in set(Stage) - {Stage.FETCH}:

        async def begin(run: Run, stage: Stage = stage) -> None:
            told.append(f"begin {stage}")

        async def end(run: Run, stage: Stage = stage) -> None:
            told.append(f"end {stage}")

        stages.plug(stage, Engine(wants, begin, end))
    yield told
    for stage in Stage:
        stages.plug(stage, None)


async def checked(run: Run) -> None:
    """Do what a check job's worker does."""
    claimed = await factories.take_job()
    assert (claimed.job.run_id, claimed.job.phase) == (run.id, "check")
    await run.refresh_from_db()
    await moves.move(run, "finish", claim=claimed.claim)
    await moves.move(run, "finish", claim=claimed.claim)
    await Job.filter(id=claimed.job.id).update(closed_at=run.created_at)


async def test_a_run_passes_every_stage_that_is_plugged_in(engines: list[str]) -> None:
    run = await factories.make_run(auto_apply=True)
    await run.refresh_from_db()
    assert (run.status, run.stages) == ("pre_plan_running", "pre_plan post_plan cost policy pre_apply post_apply")
    assert (await Workspace.get(id=run.workspace_id)).locked_by_run_id == run.id
    await moves.move(run, "finish")
    await factories.plan(run)
    assert run.status == "post_plan_running"
    await moves.move(run, "finish")
    assert run.status == "cost_estimating"
    await checked(run)
    assert run.status == "pre_apply_running"
    await moves.move(run, "finish")
    applying = await factories.take_job()
    await moves.move(run, "start", claim=applying.claim)
    await moves.move(run, "run_tasks", claim=applying.claim)
    assert run.status == "post_apply_running"
    await runs.cancel(SYSTEM, run)
    assert run.status == "applied"
    assert (await Workspace.get(id=run.workspace_id)).locked_by_run_id is None
    told = [f"{word} {stage}" for stage in Stage if stage != Stage.FETCH for word in ("begin", "end")]
    assert engines == told
    numbers = [event.number for event in await RunEvent.filter(run_id=run.id).order_by("number")]
    assert numbers == list(range(1, len(numbers) + 1))


async def test_without_engines_a_run_has_no_stages() -> None:
    run = await factories.make_run()
    assert (run.status, run.stages) == ("plan_queued", "")


async def test_a_run_that_waits_for_tasks_is_canceled_at_once_and_may_be_discarded_after_its_plan(
    engines: list[str],
) -> None:
    first = await factories.make_run()
    await runs.cancel(SYSTEM, first)
    second = await factories.make_run()
    await moves.move(second, "finish")
    await factories.plan(second)
    await runs.discard(SYSTEM, second)
    assert [first.status, second.status] == ["canceled", "discarded"]
    assert await Job.filter(closed_at=None).count() == 0
    assert engines.count("end pre_plan") == 2


async def test_force_execute_puts_aside_whatever_is_ahead_but_saved_plans() -> None:
    workspace = await factories.make_workspace()
    saved = await factories.plan(await factories.make_run(workspace, save_plan=True))
    holder = await factories.plan(await factories.make_run(workspace))
    second, third, fourth = [await factories.make_run(workspace) for _ in range(3)]
    await runs.force_execute(SYSTEM, third, "the site is down")
    found = [(await Run.get(id=run.id)).status for run in (saved, holder, second, third, fourth)]
    assert found == ["planned_and_saved", "discarded", "discarded", "plan_queued", "pending"]
    assert (await Workspace.get(id=workspace.id)).locked_by_run_id == third.id
    assert await RunEvent.filter(run_id=third.id, action="force_execute").count() == 1


async def test_force_execute_before_many_is_done_at_once_and_the_rest_is_discarded_in_steps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(queue, "STEP", 3)
    workspace = await factories.make_workspace()
    version = await factories.make_configuration_version(workspace)
    made = [await factories.make_run(workspace, configuration_version=version) for _ in range(12)]
    await factories.plan(made[0])
    wanted, behind = made[10], made[11]
    await runs.force_execute(SYSTEM, wanted)
    # Whoever dies now leaves runs that never start; the one that was wanted is on its way.
    assert (await Run.get(id=wanted.id)).status == "plan_queued"
    aside = [run.id for run in made[1:10]]
    assert await Run.filter(id__in=aside, status="discarded").count() == 3
    await queue.advance_all()
    await runs.cancel(SYSTEM, await Run.get(id=wanted.id))
    assert (await Run.get(id=behind.id)).status == "plan_queued"
    left = await Run.filter(id__in=aside, status="pending").order_by("number").first()
    assert left is not None
    await factories.plan(behind)
    with pytest.raises(Conflict, match="being discarded"):
        await runs.force_execute(SYSTEM, left)
    await queue.discard_aside()
    assert await Run.filter(id__in=aside, status="discarded").count() == 9
    events = await RunEvent.filter(run_id__in=aside, action="discard")
    assert len(events) == 9
    await queue.discard_aside()


async def test_force_execute_waits_for_what_works_and_for_people() -> None:
    user = await factories.make_user()
    workspace = await factories.make_workspace(await factories.make_organization(owner=user))
    holder = await factories.make_run(workspace)
    second = await factories.make_run(workspace)
    with pytest.raises(Conflict, match="Plan queued"):
        await runs.force_execute(SYSTEM, second)
    with pytest.raises(Forbidden, match="pending behind another"):
        await runs.force_execute(SYSTEM, holder)
    await runs.cancel(SYSTEM, holder)
    await runs.cancel(SYSTEM, await Run.get(id=second.id))
    await workspaces.lock(await factories.actor_of(user), await Workspace.get(id=workspace.id), "mine")
    third = await factories.make_run(workspace)
    with pytest.raises(Conflict, match=user.username):
        await runs.force_execute(SYSTEM, third)
    assert third.status == "pending"


async def test_a_finished_plan_only_run_is_retried_with_its_options_and_no_other() -> None:
    workspace = await factories.make_workspace()
    plan = await factories.make_run(workspace, speculative=True, message="try", target_addrs=["a.b"])
    with pytest.raises(Conflict, match="has ended"):
        await runs.retry(SYSTEM, plan)
    await factories.plan(plan)
    again = await runs.retry(SYSTEM, plan)
    assert (again.message, again.target_addrs, again.plan_only) == ("try", ["a.b"], True)
    assert again.configuration_version_id == plan.configuration_version_id
    ordinary = await factories.make_run(workspace)
    await runs.cancel(SYSTEM, ordinary)
    with pytest.raises(Conflict):
        await runs.retry(SYSTEM, ordinary)


async def test_a_run_variable_defines_nothing_but_itself() -> None:
    workspace = await factories.make_workspace()
    with pytest.raises(Invalid, match="no single expression"):
        await factories.make_run(workspace, variables=[runs.run_variable("a", "1\nb = 2")])
    assert await Run.filter(workspace_id=workspace.id).count() == 0


async def test_a_saved_plan_nobody_confirmed_is_discarded_in_the_end() -> None:
    workspace = await factories.make_workspace()
    young = await factories.plan(await factories.make_run(workspace, save_plan=True))
    old = await factories.plan(await factories.make_run(workspace, save_plan=True))
    stamps = {**old.status_timestamps, "planned-and-saved-at": "2020-01-01T00:00:00.000Z"}
    await Run.filter(id=old.id).update(created_at=datetime(2020, 1, 1, tzinfo=UTC), status_timestamps=stamps)
    assert await runs.discard_expired() == 1
    assert [(await Run.get(id=run.id)).status for run in (young, old)] == ["planned_and_saved", "discarded"]


async def test_a_saved_plan_is_not_applied_to_another_state() -> None:
    run = await factories.plan(await factories.make_run(save_plan=True))
    await Run.filter(id=run.id).update(input_state_version_id="sv-another")
    run = await Run.get(id=run.id)
    with pytest.raises(Conflict, match="state has moved"):
        await runs.confirm(SYSTEM, run)
    await queue.advance(run.workspace_id)
    assert (await Run.get(id=run.id)).status == "planned_and_saved"

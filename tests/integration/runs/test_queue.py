"""Who waits for whom in a workspace."""

from __future__ import annotations

import asyncio

import pytest

from app import runs, workspaces
from app.access.actors import SYSTEM
from app.errors import Conflict
from app.jobs import claims, workers
from app.jobs.models import Job
from app.runs import moves, queue, waiting
from app.runs.models import Run, RunEvent
from app.settings import Settings
from app.storage.database import in_transaction
from app.worker import CHORES
from app.workspaces.models import Workspace
from tests import factories

pytestmark = pytest.mark.usefixtures("opened")


async def statuses(*found: Run) -> list[str]:
    return [(await Run.get(id=run.id)).status for run in found]


async def workspace_of(run: Run) -> Workspace:
    return await Workspace.get(id=run.workspace_id)


async def test_the_first_run_takes_the_lock_and_the_next_ones_wait_in_order() -> None:
    workspace = await factories.make_workspace()
    first, second, third = [await factories.make_run(workspace) for _ in range(3)]
    assert await statuses(first, second, third) == ["plan_queued", "pending", "pending"]
    assert (await workspace_of(first)).locked_by_run_id == first.id

    await factories.plan(first)
    await runs.discard(SYSTEM, first)
    await queue.advance(workspace.id)
    assert await statuses(first, second, third) == ["discarded", "plan_queued", "pending"]
    assert (await workspace_of(first)).locked_by_run_id == second.id
    assert (await workspace_of(first)).current_run_id == second.id


async def test_speculative_and_saved_plans_pass_the_run_that_holds_the_lock() -> None:
    workspace = await factories.make_workspace()
    holder = await factories.make_run(workspace)
    speculative = await factories.make_run(workspace, speculative=True)
    saved = await factories.make_run(workspace, save_plan=True)
    assert await statuses(holder, speculative, saved) == ["plan_queued"] * 3
    assert (await workspace_of(holder)).locked_by_run_id == holder.id


async def test_a_persons_lock_holds_every_kind_of_run_until_it_is_freed() -> None:
    user = await factories.make_user()
    organization = await factories.make_organization(owner=user)
    workspace = await factories.make_workspace(organization)
    actor = await factories.actor_of(user)
    workspace = await workspaces.lock(actor, workspace, "maintenance")
    ordinary = await factories.make_run(workspace)
    speculative = await factories.make_run(workspace, speculative=True)
    assert await statuses(ordinary, speculative) == ["pending", "pending"]
    locked = await workspace_of(ordinary)
    assert await queue.current_run_id(locked) == ordinary.id
    reason = await waiting.reason_of(speculative, locked)
    assert reason is not None
    assert reason.reason == "locked"
    assert "maintenance" in reason.sentence

    await workspaces.unlock(actor, workspace)
    await queue.advance(workspace.id)
    assert await statuses(ordinary, speculative) == ["plan_queued", "plan_queued"]


async def test_a_waiting_run_says_behind_whom_and_how_many() -> None:
    workspace = await factories.make_workspace()
    holder = await factories.make_run(workspace, message="add a queue")
    await factories.make_run(workspace)
    third = await factories.make_run(workspace)
    reason = await waiting.reason_of(third, await workspace_of(holder))
    assert reason is not None
    assert (reason.reason, reason.ahead) == ("behind-running", 2)
    assert "add a queue" in reason.sentence


async def test_a_run_says_why_no_worker_takes_it() -> None:
    run = await factories.make_run()
    workspace = await workspace_of(run)
    reason = await waiting.reason_of(run, workspace)
    assert reason is not None
    assert "No worker has terraform 1.11.4" in reason.sentence

    await workers.register("wrk-1", "one", 2, {"terraform/1.11.4"}, "The disk is full; free some space.")
    reason = await waiting.reason_of(run, workspace)
    assert reason is not None
    assert reason.sentence == "No worker takes jobs: The disk is full; free some space."

    await workers.register("wrk-2", "two", 3, {"terraform/1.11.4"})
    reason = await waiting.reason_of(run, workspace)
    assert reason is not None
    assert reason.sentence == "Waiting for a worker; 1st in line"


async def test_a_run_never_frees_a_lock_it_does_not_hold() -> None:
    workspace = await factories.make_workspace()
    holder = await factories.make_run(workspace)
    behind = await factories.make_run(workspace)
    speculative = await factories.make_run(workspace, speculative=True)
    saved = await factories.make_run(workspace, save_plan=True)
    for run in (behind, speculative, saved):
        await runs.cancel(SYSTEM, run)
    assert await statuses(holder, behind, speculative, saved) == ["plan_queued", *["canceled"] * 3]
    assert (await workspace_of(holder)).locked_by_run_id == holder.id


async def test_runs_that_end_while_a_person_or_nobody_holds_the_workspace_leave_that_so() -> None:
    user = await factories.make_user()
    workspace = await factories.make_workspace(await factories.make_organization(owner=user))
    saved = await factories.plan(await factories.make_run(workspace, save_plan=True))
    speculative = await factories.make_run(workspace, speculative=True)
    actor = await factories.actor_of(user)
    await workspaces.lock(actor, workspace, "mine")
    await runs.cancel(SYSTEM, speculative)
    await runs.discard(SYSTEM, saved)
    locked = await workspace_of(saved)
    assert (locked.locked_by_user_id, locked.locked_reason) == (user.id, "mine")
    with pytest.raises(Conflict, match="locked"):
        await workspaces.lock(actor, workspace)
    await workspaces.unlock(actor, locked)
    free = await workspace_of(saved)
    assert (free.locked_by_user_id, free.locked_by_run_id, free.locked_at) == (None, None, None)


async def test_two_who_advance_at_once_start_a_run_once() -> None:
    workspace = await factories.make_workspace()
    first = await factories.make_run(workspace)
    second = await factories.make_run(workspace)
    await factories.plan(first)
    await runs.discard(SYSTEM, first)
    await asyncio.gather(*(queue.advance(workspace.id) for _ in range(8)))
    assert await statuses(second) == ["plan_queued"]
    assert await RunEvent.filter(run_id=second.id, action="enqueue").count() == 1
    assert await Job.filter(run_id=second.id).count() == 1


async def test_of_ten_confirmations_at_once_one_succeeds() -> None:
    run = await factories.plan(await factories.make_run())

    async def confirm() -> bool:
        try:
            await runs.confirm(SYSTEM, await Run.get(id=run.id))
        except Conflict:
            return False
        return True

    assert sum(await asyncio.gather(*(confirm() for _ in range(10)))) == 1
    assert await statuses(run) == ["apply_queued"]
    assert await Job.filter(run_id=run.id, phase="apply").count() == 1
    assert await RunEvent.filter(run_id=run.id, action="confirm").count() == 1


async def test_a_confirmed_saved_plan_takes_the_lock_or_is_refused() -> None:
    workspace = await factories.make_workspace()
    saved = await factories.plan(await factories.make_run(workspace, save_plan=True))
    assert await statuses(saved) == ["planned_and_saved"]
    holder = await factories.make_run(workspace)
    with pytest.raises(Conflict, match="locked"):
        await runs.confirm(SYSTEM, saved)
    assert await statuses(saved) == ["planned_and_saved"]

    await runs.cancel(SYSTEM, holder)
    await runs.confirm(SYSTEM, await Run.get(id=saved.id))
    assert (await workspace_of(saved)).locked_by_run_id == saved.id


async def test_a_plan_without_changes_ends_and_frees_the_workspace() -> None:
    run = await factories.plan(await factories.make_run(), changes=False)
    assert await statuses(run) == ["planned_and_finished"]
    assert (await workspace_of(run)).locked_by_run_id is None


async def test_auto_apply_confirms_in_the_transaction_that_ends_the_plan() -> None:
    run = await factories.plan(await factories.make_run(auto_apply=True))
    assert await statuses(run) == ["apply_queued"]


async def test_a_destroy_run_does_not_apply_by_itself_unless_the_request_says_so() -> None:
    workspace = await factories.make_workspace(auto_apply=True)
    run = await factories.plan(await factories.make_run(workspace, is_destroy=True))
    assert await statuses(run) == ["planned"]
    await runs.discard(SYSTEM, run)
    asked = await factories.plan(await factories.make_run(workspace, is_destroy=True, auto_apply=True))
    assert await statuses(asked) == ["apply_queued"]


async def test_a_canceled_run_that_nobody_works_on_ends_at_once() -> None:
    run = await factories.make_run()
    await runs.cancel(SYSTEM, run)
    assert await statuses(run) == ["canceled"]
    assert await Job.filter(run_id=run.id, closed_at=None).count() == 0


async def test_a_canceled_run_whose_phase_was_claimed_and_not_begun_ends_at_once() -> None:
    run = await factories.make_run()
    claimed = await factories.take_job()
    stale = await Run.get(id=run.id)
    await runs.cancel(SYSTEM, run)
    assert await statuses(run) == ["canceled"]
    assert await claims.renew(claimed.claim) is None
    with pytest.raises(claims.Lost):
        await moves.move(stale, "start", claim=claimed.claim)
    assert await statuses(run) == ["canceled"]


async def test_a_canceled_run_that_is_worked_on_waits_for_its_worker() -> None:
    run = await factories.make_run()
    claimed = await factories.take_job()
    await moves.move(run, "start", claim=claimed.claim)
    await runs.cancel(SYSTEM, run)
    assert await statuses(run) == ["planning"]
    wishes = await claims.renew(claimed.claim)
    assert wishes is not None
    assert wishes.cancel_requested_at is not None
    with pytest.raises(Conflict, match="Give the cancel until"):
        await runs.force_cancel(SYSTEM, await Run.get(id=run.id))


async def test_force_cancel_ends_run_job_and_lock_without_the_worker(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.settings._current", settings.model_copy(update={"force_cancel_cooloff": 0}))
    run = await factories.make_run()
    claimed = await factories.take_job()
    await moves.move(run, "start", claim=claimed.claim)
    with pytest.raises(Conflict, match="only after a cancel"):
        await runs.force_cancel(SYSTEM, run)
    await runs.cancel(SYSTEM, run)
    await runs.force_cancel(SYSTEM, await Run.get(id=run.id))
    assert await statuses(run) == ["canceled"]
    assert (await workspace_of(run)).locked_by_run_id is None
    assert await claims.renew(claimed.claim) is None
    with pytest.raises(claims.Lost):
        await moves.move(await Run.get(id=run.id), "finish", claim=claimed.claim)


async def test_what_nobody_announced_is_announced_later() -> None:
    run = await factories.make_run()
    await RunEvent.filter(run_id=run.id).update(announced_at=None)
    assert await moves.announce_forgotten() == 2
    assert await moves.announce_forgotten() == 0


async def test_a_saved_plan_goes_when_the_state_it_was_made_on_is_no_longer_current() -> None:
    workspace = await factories.make_workspace()
    saved = await factories.plan(await factories.make_run(workspace, save_plan=True))
    await runs.discard_stale(workspace.id)
    assert await statuses(saved) == ["planned_and_saved"]
    await Workspace.filter(id=workspace.id).update(current_state_version_id="sv-other")
    await runs.discard_stale(workspace.id)
    assert await statuses(saved) == ["discarded"]


async def test_a_saved_plan_whose_state_moved_unannounced_goes_with_the_next_sweep() -> None:
    workspace, other = await factories.make_workspace(), await factories.make_workspace()
    stale = await factories.plan(await factories.make_run(workspace, save_plan=True))
    kept = await factories.plan(await factories.make_run(other, save_plan=True))
    await Workspace.filter(id=workspace.id).update(current_state_version_id="sv-other")
    await CHORES["discard saved plans whose state moved"].do()
    assert await statuses(stale, kept) == ["discarded", "planned_and_saved"]


async def test_a_comment_tells_the_status_the_run_has_and_not_what_its_writer_last_saw() -> None:
    run = await factories.make_run()
    seen = await Run.get(id=run.id)
    await runs.cancel(SYSTEM, run)
    async with in_transaction():
        event = await moves.note(seen, "comment", by=SYSTEM, comment="Looks good.")
    assert event.status == "canceled"

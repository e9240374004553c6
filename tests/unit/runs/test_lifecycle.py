"""The lifecycle's tables, walked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app import clock
from app.errors import Conflict
from app.runs import lifecycle, phase_status
from app.runs.models import Apply, Plan, Run
from app.runs.statuses import ROWS, Stage, Status


def a_run(status: Status, *stamps: str, **fields: Any) -> Run:
    times = {key: f"2026-01-01T00:00:{at:02}.000Z" for at, key in enumerate(stamps)}
    return Run(id="run-1", status=status.value, status_timestamps=times, **fields)


def test_every_status_is_reached_by_some_move_from_pending() -> None:
    reached = {Status.PENDING}
    for _ in Status:
        reached |= {move.target for move in lifecycle.MOVES if move.sources & reached}
    assert reached == set(Status)


def test_every_status_has_a_row() -> None:
    assert set(ROWS) == set(Status)


def test_a_verb_leads_from_a_status_to_one_place_only() -> None:
    pairs = [(source, move.verb) for move in lifecycle.MOVES for source in move.sources]
    assert len(pairs) == len(set(pairs))


def test_the_final_statuses_are_those_without_a_way_out() -> None:
    assert {
        Status.PLANNED_AND_FINISHED,
        Status.POLICY_SOFT_FAILED,
        Status.APPLIED,
        Status.DISCARDED,
        Status.ERRORED,
        Status.CANCELED,
    } == lifecycle.FINAL


@pytest.mark.parametrize("status", sorted(lifecycle.FINAL))
def test_nothing_moves_a_run_that_has_ended(status: Status) -> None:
    for verb in {move.verb for move in lifecycle.MOVES}:
        with pytest.raises(Conflict):
            lifecycle.target(status, verb)
    assert lifecycle.offers(a_run(status)) == {
        "is-cancelable": False,
        "is-confirmable": False,
        "is-discardable": False,
        "is-force-cancelable": False,
    }


@pytest.mark.parametrize(
    ("fields", "verb"),
    [
        ({"has_changes": False}, "settle"),
        ({"has_changes": True, "plan_only": True}, "settle"),
        ({"has_changes": True, "save_plan": True, "auto_apply": True}, "save"),
        ({"has_changes": False, "save_plan": True}, "settle"),
        ({"has_changes": True, "auto_apply": True}, "confirm"),
        ({"has_changes": True}, None),
        ({"has_changes": False, "allow_empty_apply": True, "may_apply": True}, "confirm"),
        ({"has_changes": False, "allow_empty_apply": True, "may_apply": False}, None),
        ({"has_changes": True, "allow_empty_apply": True, "may_apply": True}, None),
    ],
)
def test_what_a_planned_run_does_by_itself(fields: dict[str, bool], verb: str | None) -> None:
    assert lifecycle.next_verb(a_run(Status.PLANNED, **fields)) == verb


ALL_STAGES = " ".join(Stage)


@pytest.mark.parametrize(
    ("status", "verb"),
    [
        (Status.FETCHING_COMPLETED, "run_tasks"),
        (Status.PRE_PLAN_COMPLETED, "enqueue"),
        (Status.PLANNED, "run_tasks"),
        (Status.POST_PLAN_COMPLETED, "estimate"),
        (Status.COST_ESTIMATED, "check"),
        (Status.POLICY_CHECKED, "confirm"),
        (Status.POLICY_OVERRIDE, None),
        (Status.CONFIRMED, "run_tasks"),
        (Status.PRE_APPLY_COMPLETED, "enqueue"),
        (Status.POST_APPLY_COMPLETED, "settle"),
    ],
)
def test_a_run_with_every_stage_passes_them_in_order(status: Status, verb: str | None) -> None:
    run = a_run(status, stages=ALL_STAGES, has_changes=True, auto_apply=True)
    assert lifecycle.next_verb(run) == verb


def test_checks_come_before_a_plan_without_changes_is_settled() -> None:
    assert lifecycle.next_verb(a_run(Status.PLANNED, stages="policy")) == "check"
    assert lifecycle.next_verb(a_run(Status.POLICY_CHECKED, stages="policy")) == "settle"


def test_a_policy_that_failed_softly_waits_only_where_something_can_be_applied() -> None:
    assert lifecycle.verb_of_objection(a_run(Status.POLICY_CHECKING, has_changes=True)) == "object"
    assert lifecycle.verb_of_objection(a_run(Status.POLICY_CHECKING, has_changes=True, plan_only=True)) == "soft_fail"


def test_checks_get_a_job_of_their_own_only_after_run_tasks() -> None:
    direct = a_run(Status.COST_ESTIMATING, stages="cost")
    assert lifecycle.new_job(direct, Status.PLANNED) is None
    assert lifecycle.running_phase(direct) == "plan"
    after_tasks = a_run(Status.COST_ESTIMATING, stages="post_plan cost policy")
    assert lifecycle.new_job(after_tasks, Status.POST_PLAN_COMPLETED) == "check"
    assert lifecycle.running_phase(after_tasks) == "check"
    further = a_run(Status.POLICY_CHECKING, stages="post_plan cost policy")
    assert lifecycle.new_job(further, Status.COST_ESTIMATED) is None


def test_a_cancel_after_the_apply_only_ends_the_waiting_for_tasks() -> None:
    assert lifecycle.target(Status.POST_APPLY_RUNNING, "stop") == Status.APPLIED


def test_a_cancel_that_came_too_late_for_the_plan_is_heeded_before_anything_else() -> None:
    run = a_run(Status.PLANNED, has_changes=True, auto_apply=True, cancel_requested_at=datetime(2026, 1, 1, tzinfo=UTC))
    assert lifecycle.next_verb(run) == "heed"


def test_only_a_plan_nobody_can_apply_is_retried_and_only_when_it_has_ended() -> None:
    assert lifecycle.is_retryable(a_run(Status.ERRORED, plan_only=True))
    assert not lifecycle.is_retryable(a_run(Status.PLANNING, plan_only=True))
    assert not lifecycle.is_retryable(a_run(Status.ERRORED))


def test_a_plan_only_run_never_holds_the_lock() -> None:
    assert not any(lifecycle.holds_lock(a_run(status, plan_only=True)) for status in Status)


def test_a_saved_plan_holds_the_lock_from_its_confirmation_on() -> None:
    assert not lifecycle.holds_lock(a_run(Status.PLANNED_AND_SAVED, save_plan=True))
    assert not lifecycle.holds_lock(a_run(Status.PLANNING, save_plan=True))
    assert lifecycle.holds_lock(a_run(Status.CONFIRMED, "confirmed-at", save_plan=True))


def test_an_ordinary_run_holds_the_lock_between_pending_and_its_end() -> None:
    holders = {status for status in Status if lifecycle.holds_lock(a_run(status))}
    assert holders == set(Status) - lifecycle.FINAL - {Status.PENDING}


def test_a_run_that_waits_with_changes_can_be_confirmed_and_discarded_but_not_canceled() -> None:
    offered = lifecycle.offers(a_run(Status.PLANNED, has_changes=True))
    assert offered == {
        "is-cancelable": False,
        "is-confirmable": True,
        "is-discardable": True,
        "is-force-cancelable": False,
    }


def test_a_run_is_force_cancelable_only_after_its_cool_off() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    run = a_run(Status.APPLYING, cancel_requested_at=now, force_cancel_available_at=now + timedelta(seconds=60))
    assert not lifecycle.is_cancelable(run)
    assert not lifecycle.is_force_cancelable(run, now + timedelta(seconds=59))
    assert lifecycle.is_force_cancelable(run, now + timedelta(seconds=60))


class Backwards:
    """A clock that was set back."""

    def now(self) -> datetime:
        return datetime(2020, 1, 1, tzinfo=UTC)

    def monotonic(self) -> float:
        return 0.0


def test_a_timestamp_is_never_earlier_than_the_one_before() -> None:
    run = a_run(Status.PLANNING, "plan-queued-at", "planning-at")
    with clock.using(Backwards()):
        stamps = lifecycle.stamped(run, Status.PLANNED, "finish")
    assert stamps["planned-at"] == stamps["planning-at"]


def test_a_plan_queued_again_forgets_that_it_ran() -> None:
    run = a_run(Status.PLANNING, "plan-queued-at", "planning-at")
    assert "planning-at" not in lifecycle.stamped(run, Status.PLAN_QUEUED, "requeue")


def test_a_plan_queued_again_by_a_late_clock_is_queued_no_earlier_than_it_ran() -> None:
    run = a_run(Status.PLANNING, "plan-queued-at", "planning-at")
    with clock.using(Backwards()):
        stamps = lifecycle.stamped(run, Status.PLAN_QUEUED, "requeue")
    assert stamps["plan-queued-at"] == run.status_timestamps["planning-at"]


CLOSED = datetime(2026, 1, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("status", "stamps", "closed", "expected"),
    [
        (Status.PENDING, (), None, "pending"),
        (Status.PLAN_QUEUED, ("plan-queued-at",), None, "queued"),
        (Status.PLANNING, ("plan-queued-at", "planning-at"), None, "running"),
        # The run has moved on, its log is still open: a reader must not think that this was all.
        (Status.PLANNED, ("plan-queued-at", "planning-at", "planned-at"), None, "running"),
        (Status.PLANNED, ("plan-queued-at", "planning-at", "planned-at"), CLOSED, "finished"),
        (Status.ERRORED, ("plan-queued-at", "planning-at", "errored-at"), CLOSED, "errored"),
        (Status.CANCELED, ("plan-queued-at", "planning-at", "canceled-at"), CLOSED, "canceled"),
        (Status.CANCELED, ("canceled-at",), None, "canceled"),
        (Status.DISCARDED, ("discarded-at",), None, "unreachable"),
    ],
)
def test_the_plans_status_follows_from_the_runs(
    status: Status, stamps: tuple[str, ...], closed: datetime | None, expected: str
) -> None:
    assert phase_status.plan_status(a_run(status, *stamps), Plan(log_closed_at=closed)) == expected


PLANNED = ("plan-queued-at", "planning-at", "planned-at")
CONFIRMED = (*PLANNED, "confirmed-at", "apply-queued-at")


@pytest.mark.parametrize(
    ("status", "stamps", "closed", "expected"),
    [
        (Status.PLANNED, PLANNED, None, "pending"),
        (Status.PLANNED_AND_FINISHED, (*PLANNED, "planned-and-finished-at"), None, "unreachable"),
        (Status.DISCARDED, (*PLANNED, "discarded-at"), None, "unreachable"),
        (Status.ERRORED, (*PLANNED[:2], "errored-at"), None, "unreachable"),
        (Status.APPLY_QUEUED, CONFIRMED, None, "queued"),
        (Status.APPLYING, (*CONFIRMED, "applying-at"), None, "running"),
        (Status.APPLIED, (*CONFIRMED, "applying-at", "applied-at"), None, "running"),
        (Status.APPLIED, (*CONFIRMED, "applying-at", "applied-at"), CLOSED, "finished"),
        (Status.ERRORED, (*CONFIRMED, "applying-at", "errored-at"), CLOSED, "errored"),
        (Status.CANCELED, (*CONFIRMED, "canceled-at"), None, "canceled"),
    ],
)
def test_the_applys_status_follows_from_the_runs(
    status: Status, stamps: tuple[str, ...], closed: datetime | None, expected: str
) -> None:
    assert phase_status.apply_status(a_run(status, *stamps), Apply(log_closed_at=closed)) == expected


def test_an_errored_run_says_which_phase_failed() -> None:
    assert lifecycle.label(a_run(Status.ERRORED, "planning-at")) == "Plan Errored"
    assert lifecycle.label(a_run(Status.ERRORED, "planning-at", "applying-at")) == "Apply Errored"


def test_the_diagram_names_every_move() -> None:
    diagram = lifecycle.diagram()
    for move in lifecycle.MOVES:
        for source in move.sources:
            assert f"{source} --> {move.target}: {move.verb}" in diagram


def test_a_sentence_about_a_run_is_one_whatever_its_status() -> None:
    assert lifecycle.phrase(a_run(Status.PLANNING)) == "is Planning"
    assert lifecycle.phrase(a_run(Status.PLANNED)) == "needs confirmation"

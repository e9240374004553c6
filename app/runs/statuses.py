"""The statuses a run can be in, and what each is called and drawn as.

How a run gets from one to another is in `lifecycle.py`, the only module that compares them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """What the API calls `status`, and what we call it on pages is `ROWS[status].label`."""

    PENDING = "pending"
    FETCHING = "fetching"
    FETCHING_COMPLETED = "fetching_completed"
    PRE_PLAN_RUNNING = "pre_plan_running"
    PRE_PLAN_COMPLETED = "pre_plan_completed"
    PLAN_QUEUED = "plan_queued"
    PLANNING = "planning"
    PLANNED = "planned"
    POST_PLAN_RUNNING = "post_plan_running"
    POST_PLAN_COMPLETED = "post_plan_completed"
    COST_ESTIMATING = "cost_estimating"
    COST_ESTIMATED = "cost_estimated"
    POLICY_CHECKING = "policy_checking"
    POLICY_OVERRIDE = "policy_override"
    POLICY_CHECKED = "policy_checked"
    POLICY_SOFT_FAILED = "policy_soft_failed"
    PLANNED_AND_FINISHED = "planned_and_finished"
    PLANNED_AND_SAVED = "planned_and_saved"
    CONFIRMED = "confirmed"
    PRE_APPLY_RUNNING = "pre_apply_running"
    PRE_APPLY_COMPLETED = "pre_apply_completed"
    APPLY_QUEUED = "apply_queued"
    APPLYING = "applying"
    POST_APPLY_RUNNING = "post_apply_running"
    POST_APPLY_COMPLETED = "post_apply_completed"
    APPLIED = "applied"
    DISCARDED = "discarded"
    ERRORED = "errored"
    CANCELED = "canceled"


PENDING = Status.PENDING
FETCHING = Status.FETCHING
FETCHING_COMPLETED = Status.FETCHING_COMPLETED
PRE_PLAN_RUNNING = Status.PRE_PLAN_RUNNING
PRE_PLAN_COMPLETED = Status.PRE_PLAN_COMPLETED
PLAN_QUEUED = Status.PLAN_QUEUED
PLANNING = Status.PLANNING
PLANNED = Status.PLANNED
POST_PLAN_RUNNING = Status.POST_PLAN_RUNNING
POST_PLAN_COMPLETED = Status.POST_PLAN_COMPLETED
COST_ESTIMATING = Status.COST_ESTIMATING
COST_ESTIMATED = Status.COST_ESTIMATED
POLICY_CHECKING = Status.POLICY_CHECKING
POLICY_OVERRIDE = Status.POLICY_OVERRIDE
POLICY_CHECKED = Status.POLICY_CHECKED
POLICY_SOFT_FAILED = Status.POLICY_SOFT_FAILED
PLANNED_AND_FINISHED = Status.PLANNED_AND_FINISHED
PLANNED_AND_SAVED = Status.PLANNED_AND_SAVED
CONFIRMED = Status.CONFIRMED
PRE_APPLY_RUNNING = Status.PRE_APPLY_RUNNING
PRE_APPLY_COMPLETED = Status.PRE_APPLY_COMPLETED
APPLY_QUEUED = Status.APPLY_QUEUED
APPLYING = Status.APPLYING
POST_APPLY_RUNNING = Status.POST_APPLY_RUNNING
POST_APPLY_COMPLETED = Status.POST_APPLY_COMPLETED
APPLIED = Status.APPLIED
DISCARDED = Status.DISCARDED
ERRORED = Status.ERRORED
CANCELED = Status.CANCELED


class Stage(StrEnum):
    """What a run passes through besides plan and apply, if something is configured for it when it is created."""

    FETCH = "fetch"
    PRE_PLAN = "pre_plan"
    POST_PLAN = "post_plan"
    COST = "cost"
    POLICY = "policy"
    PRE_APPLY = "pre_apply"
    POST_APPLY = "post_apply"


@dataclass(frozen=True, slots=True)
class Row:
    """One status.  `tone` and `icon` are what a badge looks like; `queues` is the phase that waits for a worker in it,
    `runs` the phase a worker carries out; `stage` is the stage whose engine works in it; `passed` is what a timeline
    calls it where it differs."""

    label: str
    tone: str
    icon: str
    queues: str | None = None
    runs: str | None = None
    stage: Stage | None = None
    passed: str | None = None


ROWS: dict[Status, Row] = {
    #                        label                    tone    icon
    PENDING: Row("Pending", "idle", "pending"),
    FETCHING: Row("Fetching", "run", "running", stage=Stage.FETCH),
    FETCHING_COMPLETED: Row("Fetching", "run", "running", passed="Configuration fetched"),
    PRE_PLAN_RUNNING: Row("Pre-plan running", "run", "running", stage=Stage.PRE_PLAN),
    PRE_PLAN_COMPLETED: Row("Pre-plan running", "run", "running", passed="Pre-plan tasks passed"),
    PLAN_QUEUED: Row("Plan queued", "idle", "queued", queues="plan"),
    PLANNING: Row("Planning", "run", "running", runs="plan"),
    PLANNED: Row("Needs Confirmation", "wait", "confirm", passed="Planned"),
    POST_PLAN_RUNNING: Row("Post-plan running", "run", "running", stage=Stage.POST_PLAN),
    POST_PLAN_COMPLETED: Row("Needs Confirmation", "wait", "confirm", passed="Post-plan tasks passed"),
    COST_ESTIMATING: Row("Cost Estimating", "run", "running", runs="check", stage=Stage.COST),
    COST_ESTIMATED: Row("Needs Confirmation", "wait", "confirm", passed="Cost Estimated"),
    POLICY_CHECKING: Row("Policy Check", "run", "running", runs="check", stage=Stage.POLICY),
    POLICY_OVERRIDE: Row("Policy Override", "wait", "confirm"),
    POLICY_CHECKED: Row("Needs Confirmation", "wait", "confirm", passed="Policy Checked"),
    POLICY_SOFT_FAILED: Row("Policy Soft Failed", "bad", "errored"),
    PLANNED_AND_FINISHED: Row("Planned and Finished", "ok", "same"),
    PLANNED_AND_SAVED: Row("Planned and Saved", "wait", "saved"),
    CONFIRMED: Row("Confirmed", "idle", "queued"),
    PRE_APPLY_RUNNING: Row("Pre-apply running", "run", "running", stage=Stage.PRE_APPLY),
    PRE_APPLY_COMPLETED: Row("Pre-apply running", "run", "running", passed="Pre-apply tasks passed"),
    APPLY_QUEUED: Row("Apply queued", "idle", "queued", queues="apply"),
    APPLYING: Row("Applying", "run", "running", runs="apply"),
    POST_APPLY_RUNNING: Row("Post-apply running", "run", "running", stage=Stage.POST_APPLY),
    POST_APPLY_COMPLETED: Row("Post-apply running", "run", "running", passed="Post-apply tasks ended"),
    APPLIED: Row("Applied", "ok", "applied"),
    DISCARDED: Row("Discarded", "idle", "discarded"),
    ERRORED: Row("Errored", "bad", "errored"),
    CANCELED: Row("Canceled", "idle", "canceled"),
}

"""The run's life as tables: every status, every move, and what follows by itself.

No other module compares statuses.  Buttons, the API's `actions`, the diagram in `docs/runs.md`, who holds a workspace's
lock and which phase waits for a worker are all read off here.  What a plan's and an apply's own status is follows from
it in `phase_status.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from app import clock
from app.errors import Conflict
from app.runs.models import Run
from app.runs.statuses import (
    APPLIED,
    APPLY_QUEUED,
    APPLYING,
    CANCELED,
    CONFIRMED,
    COST_ESTIMATED,
    COST_ESTIMATING,
    DISCARDED,
    ERRORED,
    FETCHING,
    FETCHING_COMPLETED,
    PENDING,
    PLAN_QUEUED,
    PLANNED,
    PLANNED_AND_FINISHED,
    PLANNED_AND_SAVED,
    PLANNING,
    POLICY_CHECKED,
    POLICY_CHECKING,
    POLICY_OVERRIDE,
    POLICY_SOFT_FAILED,
    POST_APPLY_COMPLETED,
    POST_APPLY_RUNNING,
    POST_PLAN_COMPLETED,
    POST_PLAN_RUNNING,
    PRE_APPLY_COMPLETED,
    PRE_APPLY_RUNNING,
    PRE_PLAN_COMPLETED,
    PRE_PLAN_RUNNING,
    ROWS,
    Row,
    Stage,
    Status,
)


@dataclass(frozen=True, slots=True)
class Move:
    verb: str
    sources: frozenset[Status]
    target: Status

    def __init__(self, verb: str, sources: set[Status], target: Status) -> None:
        object.__setattr__(self, "verb", verb)
        object.__setattr__(self, "sources", frozenset(sources))
        object.__setattr__(self, "target", target)


#: Where the checks that were asked for have been made, and a person may confirm.
REVIEWED = {PLANNED, POST_PLAN_COMPLETED, COST_ESTIMATED, POLICY_CHECKED}
#: Where something waits or works that a cancel ends.
STOPPABLE = {
    *(PENDING, FETCHING, FETCHING_COMPLETED, PRE_PLAN_RUNNING, PRE_PLAN_COMPLETED, PLAN_QUEUED, PLANNING),
    *(POST_PLAN_RUNNING, COST_ESTIMATING, POLICY_CHECKING),
    *(CONFIRMED, PRE_APPLY_RUNNING, PRE_APPLY_COMPLETED, APPLY_QUEUED, APPLYING),
}
AFTER_APPLY = {POST_APPLY_RUNNING, POST_APPLY_COMPLETED}

#: What a run is when it is made.
FIRST = PENDING
#: Where it waits for its turn in the workspace: what a query asks for, as `is_pending` asks it of one run.
IN_QUEUE = PENDING
#: Where a saved plan waits until somebody confirms it, or it is out of date.
SAVED = PLANNED_AND_SAVED

MOVES = (
    #     verb        from                                                      to
    Move("fetch", {PENDING}, FETCHING),
    Move("finish", {FETCHING}, FETCHING_COMPLETED),
    Move("run_tasks", {PENDING, FETCHING_COMPLETED}, PRE_PLAN_RUNNING),
    Move("finish", {PRE_PLAN_RUNNING}, PRE_PLAN_COMPLETED),
    Move("enqueue", {PENDING, FETCHING_COMPLETED, PRE_PLAN_COMPLETED}, PLAN_QUEUED),
    Move("start", {PLAN_QUEUED}, PLANNING),
    Move("requeue", {PLANNING}, PLAN_QUEUED),  # its worker was lost
    Move("finish", {PLANNING}, PLANNED),
    Move("run_tasks", {PLANNED}, POST_PLAN_RUNNING),
    Move("finish", {POST_PLAN_RUNNING}, POST_PLAN_COMPLETED),
    Move("estimate", {PLANNED, POST_PLAN_COMPLETED}, COST_ESTIMATING),
    Move("finish", {COST_ESTIMATING}, COST_ESTIMATED),
    Move("check", {PLANNED, POST_PLAN_COMPLETED, COST_ESTIMATED}, POLICY_CHECKING),
    Move("finish", {POLICY_CHECKING}, POLICY_CHECKED),
    Move("object", {POLICY_CHECKING}, POLICY_OVERRIDE),  # a policy that may be overridden failed
    Move("soft_fail", {POLICY_CHECKING}, POLICY_SOFT_FAILED),  # the same, where nothing can be applied
    Move("override", {POLICY_OVERRIDE}, POLICY_CHECKED),
    Move("settle", REVIEWED, PLANNED_AND_FINISHED),  # there is nothing to apply
    Move("save", REVIEWED, PLANNED_AND_SAVED),
    Move("confirm", REVIEWED | {PLANNED_AND_SAVED}, CONFIRMED),  # a saved plan takes the lock
    Move("run_tasks", {CONFIRMED}, PRE_APPLY_RUNNING),
    Move("finish", {PRE_APPLY_RUNNING}, PRE_APPLY_COMPLETED),
    Move("enqueue", {CONFIRMED, PRE_APPLY_COMPLETED}, APPLY_QUEUED),
    Move("start", {APPLY_QUEUED}, APPLYING),
    Move("finish", {APPLYING}, APPLIED),
    Move("run_tasks", {APPLYING}, POST_APPLY_RUNNING),
    Move("finish", {POST_APPLY_RUNNING}, POST_APPLY_COMPLETED),
    Move("settle", {POST_APPLY_COMPLETED}, APPLIED),
    Move("discard", REVIEWED | {PENDING, POST_PLAN_RUNNING, POLICY_OVERRIDE, PLANNED_AND_SAVED}, DISCARDED),
    Move("stop", STOPPABLE, CANCELED),
    Move("stop", AFTER_APPLY, APPLIED),  # the apply has happened: a cancel ends the waiting for tasks
    Move("heed", REVIEWED | {PLAN_QUEUED, POLICY_OVERRIDE}, CANCELED),  # a cancel that the phase did not hear in time
    Move("fail", STOPPABLE | REVIEWED, ERRORED),
)

_TARGETS: dict[tuple[Status, str], Status] = {
    (source, move.verb): move.target for move in MOVES for source in move.sources
}

#: Every status no move leaves.
FINAL = frozenset(Status) - {source for move in MOVES for source in move.sources}

#: What `filter[status_group]` may name.
GROUPS: dict[str, frozenset[Status]] = {
    "non_final": frozenset(Status) - FINAL,
    "final": FINAL,
    "discardable": frozenset(status for status, verb in _TARGETS if verb == "discard"),
}


def has(run: Run, stage: Stage) -> bool:
    """Whether *run* passes through *stage*: fixed when it was created."""
    return stage in run.stages.split()


def can_apply(run: Run) -> bool:
    """Whether the finished plan of *run* leaves anything to apply.

    What a plan imports by configuration it wrote itself would be destroyed by the next one, which has that no more.
    """
    return not run.plan_only and not run.generated_configuration and (run.has_changes or run.allow_empty_apply)


def _applies_by_itself(run: Run) -> bool:
    """An empty apply without changes always does, if its creator could have confirmed it."""
    return run.auto_apply or (run.may_apply and not run.has_changes)


#: What a run does by itself; the first row that fits wins, none means it waits for someone.
NEXT: tuple[tuple[set[Status], Callable[[Run], bool], str], ...] = (
    ({*REVIEWED, PLAN_QUEUED, POLICY_OVERRIDE}, lambda run: run.cancel_requested_at is not None, "heed"),
    ({FETCHING_COMPLETED}, lambda run: has(run, Stage.PRE_PLAN), "run_tasks"),
    ({FETCHING_COMPLETED, PRE_PLAN_COMPLETED}, lambda run: True, "enqueue"),
    ({PLANNED}, lambda run: has(run, Stage.POST_PLAN), "run_tasks"),
    ({PLANNED, POST_PLAN_COMPLETED}, lambda run: has(run, Stage.COST), "estimate"),
    (REVIEWED - {POLICY_CHECKED}, lambda run: has(run, Stage.POLICY), "check"),
    (REVIEWED, lambda run: not can_apply(run), "settle"),
    (REVIEWED, lambda run: run.save_plan, "save"),
    (REVIEWED, _applies_by_itself, "confirm"),
    ({CONFIRMED}, lambda run: has(run, Stage.PRE_APPLY), "run_tasks"),
    ({CONFIRMED, PRE_APPLY_COMPLETED}, lambda run: True, "enqueue"),
    ({POST_APPLY_COMPLETED}, lambda run: True, "settle"),
)


def target(status: str, verb: str) -> Status:
    """Where *verb* leads from *status*.  Raises Conflict where there is no such move."""
    try:
        return _TARGETS[Status(status), verb]
    except KeyError:
        raise Conflict(f"The run is {label_of(status)}; it cannot {verb} now.") from None


def allows(run: Run, verb: str) -> bool:
    return (Status(run.status), verb) in _TARGETS


def next_verb(run: Run) -> str | None:
    """What *run* does by itself in its present status."""
    for statuses, fits, verb in NEXT:
        if run.status in statuses and fits(run):
            return verb
    return None


def first_verb(run: Run) -> str:
    """What a pending run does when its turn has come."""
    if has(run, Stage.FETCH):
        return "fetch"
    return "run_tasks" if has(run, Stage.PRE_PLAN) else "enqueue"


def verb_of_success(run: Run) -> str:
    """What a run does when the phase it is in ended well."""
    return "run_tasks" if run.status == APPLYING and has(run, Stage.POST_APPLY) else "finish"


def verb_of_objection(run: Run) -> str:
    """What a run does when a policy failed that may be overridden: there must be something to override it for."""
    return "object" if can_apply(run) else "soft_fail"


def is_pending(run: Run) -> bool:
    """Whether it waits for its turn in the workspace."""
    return run.status == IN_QUEUE


def is_still(run: Run, status: str) -> bool:
    """Whether *run* has not moved since it was seen in *status*."""
    return run.status == status


def saved_at(run: Run) -> str:
    """When the plan of *run*, which is `SAVED`, was."""
    return run.status_timestamps[timestamp_key(SAVED)]


def is_applied(run: Run) -> bool:
    return run.status == APPLIED


def is_final(run: Run) -> bool:
    return run.status in FINAL


def makes_room(run: Run) -> bool:
    """Whether it has ended and may let another start: not if it ended in the queue, where it was in nobody's way."""
    return is_final(run) and len(run.status_timestamps) > 1


def holds_lock(run: Run) -> bool:
    """Whether *run*, in its present status, is to hold its workspace's lock.

    Plan-only runs never do, saved plans only once they are confirmed.
    """
    if run.plan_only or run.status in FINAL or run.status == PENDING:
        return False
    return not run.save_plan or "confirmed-at" in run.status_timestamps


def passes_queue(run: Run) -> bool:
    """Whether *run* may plan while another run holds the lock."""
    return run.plan_only or run.save_plan


def queued_phase(run: Run) -> str | None:
    """The phase that waits for a worker's slot, or for one that has it to begin: ``"plan"``, ``"apply"`` or None."""
    return queued_in(run.status)


def queued_in(status: str) -> str | None:
    """The phase that waits in that status."""
    return ROWS[Status(status)].queues


def running_phase(run: Run) -> str | None:
    """The phase a worker carries out.  Cost and policies belong to the plan, or to a job of their own (``"check"``)
    where run tasks came between: the plan's job does not wait for other people's servers."""
    phase = ROWS[Status(run.status)].runs
    return "plan" if phase == "check" and not has(run, Stage.POST_PLAN) else phase


def new_job(run: Run, before: str) -> str | None:
    """The phase to put a job for, now that *run* has left the status *before*."""
    checks_begin = running_phase(run) == "check" and before == POST_PLAN_COMPLETED
    return "check" if checks_begin else queued_phase(run)


def stage_of(status: str) -> Stage | None:
    """The stage whose engine works in that status."""
    return ROWS[Status(status)].stage


def is_checking(run: Run) -> bool:
    """Whether the server itself is at work on a finished plan, inside a job."""
    return ROWS[Status(run.status)].runs == "check"


def may_requeue(run: Run) -> bool:
    return allows(run, "requeue")


def priority(run: Run, phase: str) -> int:
    """The class of a job: applies first, then plans, then plans nobody can apply."""
    if phase == "apply":
        return 0
    return 2 if run.plan_only else 1


def is_cancelable(run: Run) -> bool:
    return allows(run, "stop") and run.cancel_requested_at is None


def is_confirmable(run: Run) -> bool:
    return allows(run, "confirm") and can_apply(run)


def is_discardable(run: Run) -> bool:
    return allows(run, "discard")


#: Clocks of two machines differ by less.
_SET_BACK = timedelta(minutes=2)


def is_force_cancelable(run: Run, at: datetime | None = None) -> bool:
    """Only after a cancel and its cool-off, while the run still has not ended and does not wait for a person."""
    available, asked = run.force_cancel_available_at, run.cancel_requested_at
    if available is None or not allows(run, "stop"):
        return False
    now = at or clock.now()
    # A clock that was set back cannot tell how long ago the cancel was; nobody is to wait until it is there again.
    return now >= available or (asked is not None and asked - now > _SET_BACK)


def is_plan_for_good(run: Run) -> bool:
    """A plan nobody can apply that ended with what it came for."""
    return run.plan_only and run.status in (PLANNED_AND_FINISHED, POLICY_SOFT_FAILED)


def is_retryable(run: Run) -> bool:
    """A plan nobody can apply may be made anew once it has ended."""
    return run.plan_only and is_final(run)


def offers(run: Run) -> dict[str, bool]:
    """The API's `actions`: what the status allows.  What the caller may do is `permissions`."""
    return {
        "is-cancelable": is_cancelable(run),
        "is-confirmable": is_confirmable(run),
        "is-discardable": is_discardable(run),
        "is-force-cancelable": is_force_cancelable(run),
    }


def operation(run: Run) -> str:
    """What kind of run it is, in the words of the API's `filter[operation]`."""
    if run.plan_only:
        return "plan_only"
    if run.save_plan:
        return "save_plan"
    if run.refresh_only:
        return "refresh_only"
    if run.is_destroy:
        return "destroy"
    return "empty_apply" if run.allow_empty_apply else "plan_and_apply"


def label_of(status: str) -> str:
    return ROWS[Status(status)].label


def label(run: Run) -> str:
    """What pages call the status; an errored run says which phase failed."""
    if run.status == ERRORED:
        return "Apply Errored" if "applying-at" in run.status_timestamps else "Plan Errored"
    if run.status == CANCELED and run.force_canceled_at is not None:
        return "Force Canceled"
    return label_of(run.status)


def phrase(run: Run) -> str:
    """What a sentence about *run* says of it: ``is Planning``, ``needs confirmation``."""
    words = label(run)
    return words.lower() if words.startswith("Needs ") else f"is {words}"


def badge(run: Run) -> Row:
    """What a page shows as the status of *run*."""
    return replace(ROWS[Status(run.status)], label=label(run))


def timestamp_key(status: str) -> str:
    return status.replace("_", "-") + "-at"


def stamped(run: Run, status: Status, verb: str, *, is_forced: bool = False) -> dict[str, str]:
    """The status timestamps of *run* once it is *status*: never earlier than the latest, whatever the clock does."""
    stamps = dict(run.status_timestamps)
    at = max([clock.wire(clock.now()), *stamps.values()])
    if verb == "requeue":
        stamps.pop(timestamp_key(PLANNING), None)
    stamps[timestamp_key(status)] = at
    if is_forced:
        stamps["force-canceled-at"] = at
    return stamps


def diagram() -> str:
    """The moves as a Mermaid state diagram."""
    lines = ["stateDiagram-v2", f"    [*] --> {FIRST}: create"]
    for move in MOVES:
        lines += [f"    {source} --> {move.target}: {move.verb}" for source in Status if source in move.sources]
    lines += [f"    {status} --> [*]" for status in Status if status in FINAL]
    return "\n".join(lines)

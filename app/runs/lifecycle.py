"""The run's life as tables: every status, every move, and what follows by itself.

No other module compares statuses.  Buttons, the API's `actions`, the diagram in `docs/runs.md`, who holds a workspace's
lock and which phase waits for a worker are all read off here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from app import clock
from app.errors import Conflict
from app.runs.models import Apply, Plan, Run


class Status(StrEnum):
    """What the API calls `status`, and what we call it on pages is `ROWS[status].label`."""

    PENDING = "pending"
    PLAN_QUEUED = "plan_queued"
    PLANNING = "planning"
    PLANNED = "planned"
    PLANNED_AND_FINISHED = "planned_and_finished"
    PLANNED_AND_SAVED = "planned_and_saved"
    CONFIRMED = "confirmed"
    APPLY_QUEUED = "apply_queued"
    APPLYING = "applying"
    APPLIED = "applied"
    DISCARDED = "discarded"
    ERRORED = "errored"
    CANCELED = "canceled"


PENDING = Status.PENDING
PLAN_QUEUED = Status.PLAN_QUEUED
PLANNING = Status.PLANNING
PLANNED = Status.PLANNED
PLANNED_AND_FINISHED = Status.PLANNED_AND_FINISHED
PLANNED_AND_SAVED = Status.PLANNED_AND_SAVED
CONFIRMED = Status.CONFIRMED
APPLY_QUEUED = Status.APPLY_QUEUED
APPLYING = Status.APPLYING
APPLIED = Status.APPLIED
DISCARDED = Status.DISCARDED
ERRORED = Status.ERRORED
CANCELED = Status.CANCELED


@dataclass(frozen=True, slots=True)
class Row:
    """One status.  `tone` and `icon` are what a badge looks like; `queues` is the phase that waits for a worker in it,
    `runs` the phase a worker carries out; `passed` is what a timeline calls it where it differs."""

    label: str
    tone: str
    icon: str
    queues: str | None = None
    runs: str | None = None
    passed: str | None = None


ROWS: dict[Status, Row] = {
    #                        label                    tone    icon
    PENDING: Row("Pending", "idle", "pending"),
    PLAN_QUEUED: Row("Plan queued", "idle", "queued", queues="plan"),
    PLANNING: Row("Planning", "run", "running", runs="plan"),
    PLANNED: Row("Needs Confirmation", "wait", "confirm", passed="Planned"),
    PLANNED_AND_FINISHED: Row("Planned and Finished", "ok", "same"),
    PLANNED_AND_SAVED: Row("Planned and Saved", "wait", "saved"),
    CONFIRMED: Row("Confirmed", "idle", "queued"),
    APPLY_QUEUED: Row("Apply queued", "idle", "queued", queues="apply"),
    APPLYING: Row("Applying", "run", "running", runs="apply"),
    APPLIED: Row("Applied", "ok", "applied"),
    DISCARDED: Row("Discarded", "idle", "discarded"),
    ERRORED: Row("Errored", "bad", "errored"),
    CANCELED: Row("Canceled", "idle", "canceled"),
}


@dataclass(frozen=True, slots=True)
class Move:
    verb: str
    sources: frozenset[Status]
    target: Status

    def __init__(self, verb: str, sources: set[Status], target: Status) -> None:
        object.__setattr__(self, "verb", verb)
        object.__setattr__(self, "sources", frozenset(sources))
        object.__setattr__(self, "target", target)


#: Where a run waits for a person who may confirm it.
REVIEWED = {PLANNED, PLANNED_AND_SAVED}

MOVES = (
    #     verb        from                                                      to
    Move("enqueue", {PENDING}, PLAN_QUEUED),
    Move("start", {PLAN_QUEUED}, PLANNING),
    Move("requeue", {PLANNING}, PLAN_QUEUED),  # its worker was lost
    Move("finish", {PLANNING}, PLANNED),
    Move("settle", {PLANNED}, PLANNED_AND_FINISHED),  # there is nothing to apply
    Move("save", {PLANNED}, PLANNED_AND_SAVED),
    Move("confirm", REVIEWED, CONFIRMED),  # a saved plan takes the lock
    Move("enqueue", {CONFIRMED}, APPLY_QUEUED),
    Move("start", {APPLY_QUEUED}, APPLYING),
    Move("finish", {APPLYING}, APPLIED),
    Move("discard", {PENDING} | REVIEWED, DISCARDED),
    Move("stop", {PENDING, PLAN_QUEUED, PLANNING, CONFIRMED, APPLY_QUEUED, APPLYING}, CANCELED),
    Move("fail", {PENDING, PLAN_QUEUED, PLANNING, PLANNED, CONFIRMED, APPLY_QUEUED, APPLYING}, ERRORED),
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


def can_apply(run: Run) -> bool:
    """Whether the finished plan of *run* leaves anything to apply."""
    return not run.plan_only and (run.has_changes or run.allow_empty_apply)


#: What a run does by itself; the first row that fits wins, none means it waits for someone.
NEXT: tuple[tuple[set[Status], Callable[[Run], bool], str], ...] = (
    ({PLANNED}, lambda run: not can_apply(run), "settle"),
    ({PLANNED}, lambda run: run.save_plan, "save"),
    ({PLANNED}, lambda run: run.auto_apply or (run.may_apply and not run.has_changes), "confirm"),
    ({CONFIRMED}, lambda run: True, "enqueue"),
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


def is_pending(run: Run) -> bool:
    """Whether it waits for its turn in the workspace."""
    return run.status == PENDING


def is_applied(run: Run) -> bool:
    return run.status == APPLIED


def is_final(run: Run) -> bool:
    return run.status in FINAL


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
    """The phase that waits for a worker's slot: ``"plan"``, ``"apply"`` or None."""
    return ROWS[Status(run.status)].queues


def running_phase(run: Run) -> str | None:
    return ROWS[Status(run.status)].runs


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


def is_force_cancelable(run: Run, at: datetime | None = None) -> bool:
    """Only after a cancel and its cool-off, while the run still has not ended."""
    available = run.force_cancel_available_at
    return available is not None and not is_final(run) and (at or clock.now()) >= available


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


def badge(run: Run) -> Row:
    """What a page shows as the status of *run*."""
    return replace(ROWS[Status(run.status)], label=label(run))


def timestamp_key(status: str) -> str:
    return status.replace("_", "-") + "-at"


def stamped(run: Run, status: Status, verb: str) -> dict[str, str]:
    """The status timestamps of *run* once it is *status*: never earlier than the latest, whatever the clock does."""
    stamps = dict(run.status_timestamps)
    if verb == "requeue":
        stamps.pop(timestamp_key(PLANNING), None)
    stamps[timestamp_key(status)] = max([clock.wire(clock.now()), *stamps.values()])
    return stamps


# The plan's and the apply's own status follow from the run's: there is no second status to agree with.  A phase that a
# worker took is terminal when its log is closed, so that whoever reads the log's end finds everything in its place.

_ENDED_AS = {ERRORED: "errored", CANCELED: "canceled"}


def plan_status(run: Run, plan: Plan) -> str:
    """`pending`, `queued`, `running`, `finished`, `errored`, `canceled` or `unreachable`."""
    return _phase_status(run, plan.log_closed_at, queued="plan-queued-at", started="planning-at", finished="planned-at")


def apply_status(run: Run, apply: Apply) -> str:
    if is_final(run) and "confirmed-at" not in run.status_timestamps:
        return "unreachable"
    return _phase_status(run, apply.log_closed_at, queued="confirmed-at", started="applying-at", finished="applied-at")


#: What a page says of a plan or an apply in each status of its own.
PHASE_ROWS: dict[str, Row] = {
    "pending": Row("Not started", "idle", "pending"),
    "queued": Row("Waits for a worker", "idle", "queued"),
    "running": Row("Running", "run", "running"),
    "finished": Row("Finished", "ok", "check"),
    "errored": Row("Errored", "bad", "errored"),
    "canceled": Row("Canceled", "idle", "canceled"),
    "unreachable": Row("Does not take place", "idle", "discarded"),
}


def is_phase_over(status: str) -> bool:
    """Whether a plan's or an apply's status is terminal."""
    return status in {"finished", "errored", "canceled", "unreachable"}


def phase_timestamps(run: Run, phase: str) -> dict[str, str]:
    """The `status-timestamps` of a plan or an apply."""
    stamps = run.status_timestamps
    keys = {
        "plan": {"queued-at": "plan-queued-at", "started-at": "planning-at", "finished-at": "planned-at"},
        "apply": {"queued-at": "apply-queued-at", "started-at": "applying-at", "finished-at": "applied-at"},
    }[phase]
    times = {ours: stamps[theirs] for ours, theirs in keys.items() if theirs in stamps}
    if "started-at" in times and "finished-at" not in times:
        times |= {key: stamps[key] for key in ("errored-at", "canceled-at") if key in stamps}
    return times


def _phase_status(run: Run, closed_at: datetime | None, *, queued: str, started: str, finished: str) -> str:
    stamps = run.status_timestamps
    if started in stamps and closed_at is None:
        return "running"
    if finished in stamps:
        return "finished"
    if is_final(run):
        return _ENDED_AS.get(Status(run.status), "unreachable")
    return "queued" if queued in stamps else "pending"


def diagram() -> str:
    """The moves as a Mermaid state diagram."""
    lines = ["stateDiagram-v2", f"    [*] --> {PENDING}: create"]
    for move in MOVES:
        lines += [f"    {source} --> {move.target}: {move.verb}" for source in Status if source in move.sources]
    lines += [f"    {status} --> [*]" for status in Status if status in FINAL]
    return "\n".join(lines)

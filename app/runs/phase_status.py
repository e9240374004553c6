"""The plan's and the apply's own status: they follow from the run's, so there is no second status to agree with.

A phase that a worker took is terminal when its log is closed, so that whoever reads the log's end finds everything in
its place.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from app.runs.lifecycle import is_final
from app.runs.models import Apply, Plan, Run
from app.runs.statuses import Row, Status


@dataclass(frozen=True, slots=True)
class _Stamps:
    """The run's timestamps by which a phase is queued, at work and finished, the first of each that is there."""

    queued: str
    started: str
    finished: tuple[str, ...]
    queueable: str


_PLAN = _Stamps(queued="plan-queued-at", started="planning-at", finished=("planned-at",), queueable="plan-queued-at")
_APPLY = _Stamps(
    queued="apply-queued-at",
    started="applying-at",
    finished=("post-apply-running-at", "applied-at"),
    queueable="confirmed-at",
)
_ENDED_AS = {Status.ERRORED: "errored", Status.CANCELED: "canceled"}

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


def plan_status(run: Run, plan: Plan) -> str:
    """`pending`, `queued`, `running`, `finished`, `errored`, `canceled` or `unreachable`."""
    return _status(run, plan.log_closed_at, _PLAN)


def apply_status(run: Run, apply: Apply) -> str:
    """The same words."""
    if is_final(run) and _APPLY.queueable not in run.status_timestamps:
        return "unreachable"
    return _status(run, apply.log_closed_at, _APPLY)


def is_phase_over(status: str) -> bool:
    """Whether a plan's or an apply's status is terminal."""
    return status in {"finished", "errored", "canceled", "unreachable"}


def phase_timestamps(run: Run, phase: str) -> dict[str, str]:
    """The `status-timestamps` of a plan or an apply."""
    stamps, keys = run.status_timestamps, _PLAN if phase == "plan" else _APPLY
    times = {}
    if keys.queued in stamps:
        times["queued-at"] = stamps[keys.queued]
    if keys.started in stamps:
        times["started-at"] = stamps[keys.started]
    finished = _finished(stamps, keys)
    if finished is not None:
        times["finished-at"] = finished
    elif keys.started in stamps:
        times |= {key: stamps[key] for key in ("errored-at", "canceled-at", "force-canceled-at") if key in stamps}
    return times


def _finished(stamps: dict[str, str], keys: _Stamps) -> str | None:
    return next((stamps[key] for key in keys.finished if key in stamps), None)


def _status(run: Run, closed_at: datetime | None, keys: _Stamps) -> str:
    stamps = run.status_timestamps
    if keys.started in stamps and closed_at is None:
        return "running"
    if _finished(stamps, keys) is not None:
        return "finished"
    if is_final(run):
        return _ENDED_AS.get(Status(run.status), "unreachable")
    return "queued" if keys.queueable in stamps else "pending"

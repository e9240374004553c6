"""What a check says of a run in each of its statuses, and what an organization's says of all its workspaces.

The table is the whole of it: `docs/github.md` is made from it.  Source: `github-app.md` §4.1 and §4.2 of the protocol
notes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

from app.runs import statuses
from app.runs.models import Plan, Run
from app.runs.statuses import Status
from github_app import markdown
from github_app.plan_report import MOST_TITLE

QUEUED, IN_PROGRESS, COMPLETED = "queued", "in_progress", "completed"
SUCCESS, FAILURE, NEUTRAL, CANCELLED = "success", "failure", "neutral", "cancelled"
SKIPPED, TIMED_OUT, ACTION_REQUIRED = "skipped", "timed_out", "action_required"

#: What stands on a button, and what GitHub calls it when somebody presses it.
PLAN_AGAIN, APPROVE_FORK = "plan_again", "approve_fork"
BUTTONS = {
    PLAN_AGAIN: {"label": "Plan again", "description": "The same commit, as a new run", "identifier": PLAN_AGAIN},
    APPROVE_FORK: {
        "label": "Run plan",
        "description": "Let this commit be planned, no secrets",
        "identifier": APPROVE_FORK,
    },
}


class Result(StrEnum):
    """What came of a workspace, as the organization's check counts it.  In the order in which it is told."""

    CHANGED = "changed"
    UNCHANGED = "unchanged"
    FAILED = "failed"
    CANCELLED = "cancelled"
    WAITING = "waiting for approval"
    PASSED = "not planned"
    UNDER_WAY = "under way"
    SUPERSEDED = "superseded"


class Shown(StrEnum):
    """What stands below the title, made when the check is sent."""

    NOTHING = ""
    PLAN = "plan"
    FAILURE = "failure"
    MEMBERS = "members"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check says.  Without `conclusion` it has not ended.  `summary` is Markdown of ours, for what no report can
    be made of."""

    status: str
    conclusion: str | None
    title: str
    result: Result = Result.UNDER_WAY
    shown: Shown = Shown.NOTHING
    summary: str = ""
    buttons: tuple[str, ...] = ()

    @property
    def is_final(self) -> bool:
        return self.conclusion is not None

    def as_json(self) -> dict[str, Any]:
        """As the database gives it back."""
        return {**asdict(self), "buttons": [*self.buttons]}

    @classmethod
    def from_json(cls, kept: dict[str, Any]) -> Verdict:
        given = {**kept, "buttons": tuple(kept.get("buttons", ()))}
        return cls(**{**given, "result": Result(kept["result"]), "shown": Shown(kept["shown"])})


def concluded(
    conclusion: str, title: str, summary: str = "", *, result: Result, buttons: Sequence[str] = ()
) -> Verdict:
    """Of what no plan decided.  A *summary* that the title says whole is left out."""
    shown = markdown.cut(title, MOST_TITLE)
    said = "" if summary == shown else summary
    return Verdict(COMPLETED, conclusion, shown, result, Shown.NOTHING, said, (*buttons,))


def _waits(title: str) -> Verdict:
    return Verdict(QUEUED, None, title)


def _works(title: str) -> Verdict:
    return Verdict(IN_PROGRESS, None, title)


def _ends(conclusion: str, title: str, result: Result, shown: Shown = Shown.NOTHING) -> Verdict:
    return Verdict(COMPLETED, conclusion, title, result, shown, buttons=(PLAN_AGAIN,))


#: A run's status, and what the check of its workspace says.
ROWS: dict[Status, Verdict] = {
    statuses.PENDING: _waits("Waiting for a worker"),
    statuses.FETCHING: _waits("Fetching the configuration"),
    statuses.FETCHING_COMPLETED: _waits("Waiting for a worker"),
    statuses.PRE_PLAN_RUNNING: _works("Running the tasks before the plan…"),
    statuses.PRE_PLAN_COMPLETED: _works("Running the tasks before the plan…"),
    statuses.PLAN_QUEUED: _waits("Waiting for a worker"),
    statuses.PLANNING: _works("Planning…"),
    statuses.PLANNED: _works("Planned"),
    statuses.POST_PLAN_RUNNING: _works("Running the tasks after the plan…"),
    statuses.POST_PLAN_COMPLETED: _works("Planned"),
    statuses.COST_ESTIMATING: _works("Estimating the cost…"),
    statuses.COST_ESTIMATED: _works("Planned"),
    statuses.POLICY_CHECKING: _works("Checking policies…"),
    statuses.POLICY_OVERRIDE: _works("A policy has to be overridden"),
    statuses.POLICY_CHECKED: _works("Planned"),
    statuses.POLICY_SOFT_FAILED: _ends(FAILURE, "Policies failed", Result.FAILED, Shown.PLAN),
    statuses.PLANNED_AND_FINISHED: _ends(SUCCESS, "No changes", Result.UNCHANGED, Shown.PLAN),
    statuses.PLANNED_AND_SAVED: _ends(SUCCESS, "Planned and saved", Result.CHANGED, Shown.PLAN),
    statuses.CONFIRMED: _works("Waiting to be applied"),
    statuses.PRE_APPLY_RUNNING: _works("Running the tasks before the apply…"),
    statuses.PRE_APPLY_COMPLETED: _works("Waiting to be applied"),
    statuses.APPLY_QUEUED: _works("Waiting to be applied"),
    statuses.APPLYING: _works("Applying…"),
    statuses.POST_APPLY_RUNNING: _works("Running the tasks after the apply…"),
    statuses.POST_APPLY_COMPLETED: _works("Running the tasks after the apply…"),
    statuses.APPLIED: _ends(SUCCESS, "Applied", Result.CHANGED, Shown.PLAN),
    statuses.DISCARDED: _ends(CANCELLED, "Discarded", Result.CANCELLED),
    statuses.ERRORED: _ends(FAILURE, "The plan failed", Result.FAILED, Shown.FAILURE),
    statuses.CANCELED: _ends(CANCELLED, "Cancelled", Result.CANCELLED),
}


#: Of a run that ended errored because a phase took longer than it may.
OVERDUE = _ends(TIMED_OUT, "The plan took too long", Result.FAILED, Shown.FAILURE)
#: What is said of a run that nobody cancelled but we.
CANCELED_BY_NOBODY = ROWS[statuses.CANCELED].title


def of_run(run: Run, plan: Plan | None, *, canceled_by: str | None) -> Verdict:
    """What the check of *run*'s workspace says now.  No text of the configuration's is in it: that is the report's,
    which knows who reads it."""
    row = ROWS[Status(run.status)]
    if run.is_timed_out and row.result is Result.FAILED:
        return OVERDUE
    if row.result is Result.UNCHANGED and run.has_changes:
        return replace(row, result=Result.CHANGED, title=_counts(plan))
    if row.result is Result.CANCELLED and canceled_by:
        return replace(row, title=markdown.cut(f"{row.title} by {canceled_by}", MOST_TITLE))
    return row


def _counts(plan: Plan | None) -> str:
    if plan is None or plan.resource_additions is None:
        return "Changes"
    said = f"+{plan.resource_additions} ~{plan.resource_changes or 0} -{plan.resource_destructions or 0}"
    imported = f" · {plan.resource_imports} imported" if plan.resource_imports else ""
    return said + imported if said != "+0 ~0 -0" or imported else "Changes"


#: An organization's check in the order of its rules: if any workspace came to this, it concludes so.
RULES: tuple[tuple[Callable[[Counter[Result], int], bool], str], ...] = (
    (lambda found, _: found[Result.FAILED] > 0, FAILURE),
    (lambda found, _: found[Result.WAITING] > 0, ACTION_REQUIRED),
    (lambda found, _: found[Result.CANCELLED] > 0, CANCELLED),
    (lambda found, all: 0 < all == found[Result.PASSED], NEUTRAL),
    (lambda found, _: True, SUCCESS),
)


def of_all(members: Sequence[Verdict], *, is_settled: bool) -> Verdict:
    """What an organization's check says of its *members*, each the newest of a workspace.  It ends once all have, and
    none can come any more."""
    found: Counter[Result] = Counter(member.result for member in members if member.result is not Result.SUPERSEDED)
    count = found.total()
    if not is_settled:
        return Verdict(QUEUED, None, "Looking which workspaces are affected")
    if found[Result.UNDER_WAY]:
        ended = count - found[Result.UNDER_WAY]
        status = IN_PROGRESS if ended or any(member.status != QUEUED for member in members) else QUEUED
        return Verdict(status, None, f"{ended} of {_workspaces(count)} done", shown=Shown.MEMBERS)
    conclusion = next(conclusion for fits, conclusion in RULES if fits(found, count))
    told = ", ".join(f"{found[result]} {result.value}" for result in Result if found[result])
    title = f"{_workspaces(count)}: {told}" if count else "No affected workspaces"
    buttons = (APPROVE_FORK,) if found[Result.WAITING] else (PLAN_AGAIN,) if count else ()
    shown = Shown.MEMBERS if count else Shown.NOTHING
    return Verdict(COMPLETED, conclusion, markdown.cut(title, MOST_TITLE), Result.UNDER_WAY, shown, buttons=buttons)


def _workspaces(count: int) -> str:
    return "1 workspace" if count == 1 else f"{count} workspaces"

"""What the page of a run shows, gathered in one place: for the page, and for the stream that keeps it up to date."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from app import access, clock, links
from app.access.actors import Actor
from app.access.permissions import grants
from app.organizations.models import Organization
from app.runs import generated, lifecycle, logs, outdated, phase_status, timeline, triggering, waiting
from app.runs.generated import Generated
from app.runs.models import Apply, Comment, Phase, Plan, Run, RunEvent
from app.runs.outdated import Outdated
from app.runs.statuses import ROWS, Row, Status
from app.runs.triggering import Followed
from app.runs.waiting import Waiting
from app.web import words
from app.web.words import moment
from app.workspaces.models import Workspace

#: A shorter wait is none.
AT_ONCE = timedelta(seconds=2)
#: Whoever an event names that the reader does not know any more.
STRANGER = "somebody who is no member any more"
SYSTEM = "Stateroom"

#: What `lifecycle.operation` is called on pages.
KINDS = {
    "plan_only": "Plan only",
    "save_plan": "Saved plan",
    "refresh_only": "Refresh state",
    "destroy": "Destroy",
    "empty_apply": "Plan and apply, also without changes",
    "plan_and_apply": "Plan and apply",
}


@dataclass(frozen=True, slots=True)
class Button:
    """One thing that can be done with a run: which offer of the run and which right it takes, and how it asks."""

    slug: str
    label: str
    offer: str | None
    right: str
    style: str = ""
    question: str = ""
    consequence: str = ""
    verb: str = ""
    comment: str = "optional"


RETRY = "retry"

#: In the order of their weight.
BUTTONS = (
    Button(
        "comment",
        "Add Comment",
        None,
        "run:comment",
        style="btn-quiet",
        question="Comment on this run of {}",
        consequence="It appears in the run's timeline.",
        verb="Add Comment",
        comment="needed",
    ),
    Button(
        "force-cancel",
        "Force Cancel Run…",
        "is-force-cancelable",
        "run:force-cancel",
        style="btn-danger",
        question="Force-cancel this run of {}?",
        consequence="The run ends now, without waiting for terraform. What terraform was doing may be missing from the"
        " state.",
        verb="Force Cancel Run",
    ),
    Button(
        "cancel",
        "Cancel Run…",
        "is-cancelable",
        "run:apply",
        question="Cancel this run of {}?",
        consequence="Terraform is interrupted and saves its state; what it has changed already stays changed.",
        verb="Cancel Run",
    ),
    Button(
        "discard",
        "Discard Run…",
        "is-discardable",
        "run:apply",
        question="Discard this run of {}?",
        consequence="Nothing is applied, and the workspace is free for the next run.",
        verb="Discard Run",
    ),
    Button(
        "force-execute",
        "Run this plan now…",
        "is-force-executable",
        "run:apply",
        question="Run this plan of {} now?",
        consequence="The run that holds the workspace and those pending before this one are discarded.",
        verb="Discard them and run this",
    ),
    Button(
        RETRY,
        "Retry Run…",
        "is-retryable",
        "run:queue",
        question="Retry this plan of {}?",
        consequence="A new plan of the same configuration, with today's variables and state.",
        verb="Retry Run",
        comment="none",
    ),
    Button(
        "confirm",
        "Confirm & Apply…",
        "is-confirmable",
        "run:apply",
        style="btn-main",
        question="Apply this plan to {}?",
        consequence="Exactly this plan is applied; if the state, the configuration or a variable moved meanwhile, the"
        " apply stops before it starts.",
        verb="Confirm & Apply",
    ),
)


@dataclass(frozen=True, slots=True)
class Stage:
    """Plan or apply: how it stands, what it comes to, how long it took, and whether it has a log to unfold."""

    name: str
    title: str
    row: Row
    what: str
    took: str
    has_log: bool
    is_open: bool
    masked: int
    length: int = 0


@dataclass(frozen=True, slots=True)
class Said:
    """A line of the timeline."""

    who: str | None
    what: str
    icon: str
    tone: str
    at: datetime
    comment: str | None


@dataclass(slots=True)
class RunView:
    actor: Actor
    organization: Organization
    workspace: Workspace
    run: Run
    plan: Plan
    apply: Apply
    waiting: Waiting | None
    names: dict[str, str]
    holder: Run | None = None
    events: list[Said] = field(default_factory=list)
    stages: list[Stage] = field(default_factory=list)
    #: The run whose apply this one followed, its workspace loaded.
    source: Run | None = None
    triggers: list[Followed] = field(default_factory=list)
    generated: list[Generated] = field(default_factory=list)
    outdated: Outdated | None = None

    @property
    def address(self) -> str:
        return links.run(self.organization.name, self.workspace.name, self.run.id)

    @property
    def badge(self) -> Row:
        return outdated.BADGE if self.outdated else lifecycle.badge(self.run)

    @property
    def kind(self) -> str:
        return KINDS[lifecycle.operation(self.run)]

    @property
    def by(self) -> str:
        return name_of(self.run.created_by_id, self.names)

    @property
    def created_at(self) -> datetime:
        return self.run.created_at

    @property
    def is_live(self) -> bool:
        """Whether anything on the page may still change by itself."""
        over = [phase_status.plan_status(self.run, self.plan), phase_status.apply_status(self.run, self.apply)]
        return not (lifecycle.is_final(self.run) and all(map(phase_status.is_phase_over, over)))

    @property
    def queue_stage(self) -> Stage:
        stamps = self.run.status_timestamps
        started = stamps.get("planning-at")
        took = words.between(clock.wire(self.run.created_at), started)
        row = phase_status.PHASE_ROWS["finished" if started else "pending"]
        if started:
            what = (
                "Waited for its turn" if moment(started) - self.run.created_at > AT_ONCE else "Nothing was in the way"
            )
        elif lifecycle.is_final(self.run):
            what = "It ended before its turn came"
        else:
            what = self.waiting.sentence if self.waiting else "Next in line"
        return Stage("queue", "Queue", row, what, took, has_log=False, is_open=False, masked=0)

    @property
    def headline(self) -> str:
        """What the buttons are about, in a line."""
        figures = counts(self.plan, done=False)
        return f"Plan: {figures}" if figures and lifecycle.is_confirmable(self.run) else self.badge.label

    @property
    def force_cancel_in(self) -> str | None:
        """How long a force-cancel still has to wait, where one comes into question at all."""
        available = self.run.force_cancel_available_at
        if available is None or lifecycle.is_final(self.run) or lifecycle.is_force_cancelable(self.run):
            return None
        return words.duration(round((available - clock.now()).total_seconds() / 5 + 0.5) * 5)

    @property
    def is_being_canceled(self) -> bool:
        return self.run.cancel_requested_at is not None and not lifecycle.is_final(self.run)

    @property
    def buttons(self) -> list[Button]:
        rights = grants(self.actor, self.run.organization_id)
        offers = lifecycle.offers(self.run) | self._more_offers()
        return [
            button for button in BUTTONS if (button.offer is None or offers[button.offer]) and self._may(button, rights)
        ]

    @property
    def may_plan_again(self) -> bool:
        """Whether the reader can do something about an outdated plan here."""
        cured = self.outdated is not None and self.outdated.is_cured_by_planning_again
        return cured and any(button.slug == RETRY for button in self.buttons)

    def _more_offers(self) -> dict[str, bool]:
        """What only pages offer: the API's `actions` has no name for it."""
        holder, behind = self.holder, lifecycle.is_pending(self.run) and not lifecycle.passes_queue(self.run)
        return {
            "is-force-executable": behind and holder is not None and lifecycle.is_discardable(holder),
            "is-retryable": lifecycle.is_retryable(self.run),
        }

    def _may(self, button: Button, rights: frozenset[str]) -> bool:
        """Who started a plan-only run may cancel it without the right to apply."""
        if button.slug == "cancel" and self.run.plan_only and self.run.created_by_id == self.actor.id:
            return "run:queue" in rights
        return button.right in rights

    @property
    def phases(self) -> list[Phase]:
        return [self.plan] if self.run.plan_only else [self.plan, self.apply]


async def gather(actor: Actor, run: Run) -> RunView:
    """Everything about *run*, which was found for *actor*, its workspace loaded."""
    workspace: Workspace = run.workspace
    await workspace.fetch_related("organization")
    plan, apply = await Plan.get(run_id=run.id), await Apply.get(run_id=run.id)
    events = await timeline.events_of(run)
    comments = await timeline.comments_of(run)
    people = {event.actor_id for event in events} | {run.created_by_id}
    names = await names_of(actor, people)
    reason = await waiting.reason_of(run, workspace)
    holder = await Run.get_or_none(id=workspace.locked_by_run_id) if workspace.locked_by_run_id else None
    view = RunView(actor, workspace.organization, workspace, run, plan, apply, reason, names, holder)
    view.events = _said(events, comments, names)
    view.stages = [await _stage(view, phase) for phase in view.phases]
    view.generated = await generated.of(actor, run)
    view.outdated = (await outdated.of([run])).get(run.id)
    view.source = await triggering.source_of(actor, run)
    view.triggers = await triggering.followed(actor, run) if triggering.is_followed(run) else []
    return view


async def names_of(actor: Actor, user_ids: set[str | None]) -> dict[str, str]:
    known = access.visible_users(actor).filter(id__in=[one for one in user_ids if one])
    return {user.id: user.username for user in await known}


def name_of(user_id: str | None, names: dict[str, str]) -> str:
    return names.get(user_id, STRANGER) if user_id else SYSTEM


async def _stage(view: RunView, phase: Phase) -> Stage:
    run, is_plan = view.run, isinstance(phase, Plan)
    name = "plan" if is_plan else "apply"
    status = phase_status.plan_status(run, view.plan) if is_plan else phase_status.apply_status(run, view.apply)
    row = phase_status.PHASE_ROWS[status]
    times = phase_status.phase_timestamps(run, name)
    waits_for_a_person = lifecycle.is_confirmable(run)
    length = await logs.length(phase.id)
    has_log = "started-at" in times or length > 0
    return Stage(
        name=name,
        title=name.capitalize(),
        row=row,
        what=_what(view, phase, row, is_plan=is_plan),
        took=words.between(times.get("started-at"), times.get("finished-at")),
        has_log=has_log,
        is_open=has_log and (row.tone in ("run", "bad") or (is_plan and waits_for_a_person)),
        masked=phase.masked_count,
        length=length,
    )


def _what(view: RunView, phase: Phase, row: Row, *, is_plan: bool) -> str:
    if row.tone == "ok":
        figures = counts(phase, done=not is_plan)
        return figures or ("Finished" if view.run.has_changes or not is_plan else "No changes")
    if not is_plan and lifecycle.is_confirmable(view.run):
        return "Waits for someone to confirm"
    return row.label


def counts(phase: Phase, *, done: bool) -> str:
    """``3 to add, 1 to change, 0 to destroy``, or how many it were in the end; nothing if terraform did not say."""
    figures: list[tuple[int | None, str, str]] = [
        (phase.resource_imports or None, "import", "imported"),
        (phase.resource_additions, "add", "added"),
        (phase.resource_changes, "change", "changed"),
        (phase.resource_destructions, "destroy", "destroyed"),
    ]
    return ", ".join(
        f"{words.number(count)} {past if done else f'to {verb}'}" for count, verb, past in figures if count is not None
    )


#: What people do to a run, as its timeline says it; a move of the run itself is told by the status it leads to.
DEEDS: dict[str, tuple[str, str]] = {
    "create": ("started this run", "terminal"),
    "confirm": ("confirmed", "user"),
    "discard": ("discarded it", "discarded"),
    "cancel": ("asked to cancel", "canceled"),
    "force_execute": ("let it go first", "user"),
    "override": ("overrode the failed policies", "user"),
    "stop": ("canceled it", "canceled"),
    "comment": ("commented", "comment"),
}
#: Moves of the run whose status alone would not tell what happened.
EVENTS = {"requeue": "Queued again, because its worker was lost"}


def _said(events: list[RunEvent], comments: list[Comment], names: dict[str, str]) -> list[Said]:
    bodies = {comment.id: comment.body for comment in comments}
    return [_line(event, bodies, names) for event in events]


def _line(event: RunEvent, bodies: dict[str, str], names: dict[str, str]) -> Said:
    body = bodies.get(event.comment_id or "")
    row: Row = ROWS[Status(event.status)]
    if event.action in DEEDS and (event.actor_id is not None or event.action == "create"):
        what, icon = DEEDS[event.action]
        return Said(name_of(event.actor_id, names), what, icon, "idle", event.created_at, body)
    what = event.description or EVENTS.get(event.action) or row.passed or row.label
    tone, icon = ("ok", "check") if row.passed else (row.tone, row.icon)
    return Said(None, what, icon, tone, event.created_at, body)

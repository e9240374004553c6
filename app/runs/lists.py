"""Runs in lists: of a workspace, of an organization, of an organization's queue."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from tortoise.expressions import Q
from tortoise.queryset import QuerySet

from app import clock
from app.access.actors import Actor
from app.access.permissions import require, require_in_organization
from app.errors import Invalid
from app.jobs import order
from app.jobs.models import Job
from app.organizations.models import Organization
from app.runs import lifecycle
from app.runs.actions import visible
from app.runs.models import Run
from app.workspaces.models import Workspace

#: What each operation of `filter[operation]` comes to in columns; `lifecycle.operation` says the same of one run.
OPERATIONS: dict[str, Q] = {
    "plan_only": Q(plan_only=True),
    "save_plan": Q(plan_only=False, save_plan=True),
    "refresh_only": Q(plan_only=False, save_plan=False, refresh_only=True),
    "destroy": Q(plan_only=False, save_plan=False, refresh_only=False, is_destroy=True),
    "empty_apply": Q(plan_only=False, save_plan=False, refresh_only=False, is_destroy=False, allow_empty_apply=True),
    "plan_and_apply": Q(
        plan_only=False, save_plan=False, refresh_only=False, is_destroy=False, allow_empty_apply=False
    ),
}
#: The timeframe of the last 12 months.
YEAR = "year"
_TIMEFRAME = "filter[timeframe]"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a list is narrowed to; an empty member narrows nothing."""

    operations: Collection[str] = ()
    statuses: Collection[str] = ()
    status_group: str | None = None
    sources: Collection[str] = ()
    workspace_names: Collection[str] = ()
    agent_pool_names: Collection[str] = ()
    """No run has one: this server has no agents."""
    timeframe: str | None = None
    """A year, or ``"year"`` for the last 365 days."""
    user: str | None = None
    """Part of the name of who sent the commit."""
    commit: str | None = None
    """How the commit's SHA begins."""
    text: str | None = None
    """All of a run's id, or what `user`, `commit` or its message would be found by; nothing beside these two."""


async def of_workspace(actor: Actor, workspace: Workspace, wanted: Wanted) -> QuerySet[Run]:
    """The runs of a workspace, newest first; plan-only ones only where `wanted` names that operation."""
    await require(actor, "run:read", workspace)
    return _narrowed(Run.filter(workspace_id=workspace.id), wanted).order_by("-number")


async def of_organization(actor: Actor, organization: Organization, wanted: Wanted) -> QuerySet[Run]:
    """The runs of an organization's workspaces, as `of_workspace` has those of one; of the last 365 days, unless
    `wanted` names a timeframe."""
    await require_in_organization(actor, "run:list", organization.id)
    runs = visible(actor).filter(organization_id=organization.id)
    narrowed = _narrowed(runs, replace(wanted, timeframe=wanted.timeframe or YEAR))
    return narrowed.order_by("-created_at", "-id")


def _narrowed(runs: QuerySet[Run], wanted: Wanted) -> QuerySet[Run]:
    if wanted.operations:
        chosen = [OPERATIONS[name] for name in wanted.operations if name in OPERATIONS]
        runs = runs.filter(Q(*chosen, join_type=Q.OR)) if chosen else runs.filter(id=None)
    else:
        runs = runs.filter(plan_only=False)
    if wanted.statuses:
        runs = runs.filter(status__in=list(wanted.statuses))
    if wanted.status_group:
        runs = runs.filter(status__in=_group(wanted.status_group))
    if wanted.sources:
        runs = runs.filter(source__in=list(wanted.sources))
    if wanted.workspace_names:
        runs = runs.filter(workspace__name__in=list(wanted.workspace_names))
    if wanted.agent_pool_names:
        runs = runs.filter(id=None)
    if wanted.timeframe:
        since, until = _span(wanted.timeframe)
        runs = runs.filter(created_at__gte=since, created_at__lt=until)
    return _searched(runs, wanted)


def _searched(runs: QuerySet[Run], wanted: Wanted) -> QuerySet[Run]:
    if wanted.user:
        runs = runs.filter(_by_user(wanted.user))
    if wanted.commit:
        runs = runs.filter(_by_commit(wanted.commit))
    if wanted.text and not (wanted.user or wanted.commit):
        found = Q(id=wanted.text) | Q(message__icontains=wanted.text)
        runs = runs.filter(found | _by_user(wanted.text) | _by_commit(wanted.text))
    return runs


def _by_user(name: str) -> Q:
    return Q(configuration_version__ingress_attributes__sender_username__icontains=name)


def _by_commit(beginning: str) -> Q:
    return Q(configuration_version__ingress_attributes__commit_sha__startswith=beginning.lower())


def _span(timeframe: str) -> tuple[datetime, datetime]:
    """From when, and until before when, a run was created in *timeframe*."""
    if timeframe == YEAR:
        now = clock.now()
        return now - timedelta(days=365), now + timedelta(days=1)  # a clock may have been set back since
    if not re.fullmatch("[1-9][0-9]{3}", timeframe) or timeframe == "9999":
        raise Invalid('filter[timeframe] is a year, as 2026, or "year": the last 12 months.', parameter=_TIMEFRAME)
    return datetime(int(timeframe), 1, 1, tzinfo=UTC), datetime(int(timeframe) + 1, 1, 1, tzinfo=UTC)


async def queue_of(
    actor: Actor, organization: Organization, offset: int, limit: int
) -> tuple[list[tuple[Run, int]], int]:
    """The runs of an organization whose phase runs or waits for a worker, each with its position from 1, and how
    many there are.

    What runs comes first, so that a position less `Capacity.running` is the place among those that wait; these stand in
    the order in which they would be claimed.
    """
    await require_in_organization(actor, "queue:read", organization.id)
    held, waiting = _held(organization.id), _waiting(organization.id)
    busy, waits = await held.count(), await waiting.count()
    rows = await held.order_by("number").offset(offset).limit(limit) if offset < busy else []
    if len(rows) < limit and waits:
        rows += await _in_order(waiting, max(offset - busy, 0), limit - len(rows))
    found = {run.id: run for run in await visible(actor).filter(id__in=[job.run_id for job in rows])}
    placed = [(found[job.run_id], offset + place) for place, job in enumerate(rows, 1) if job.run_id in found]
    return placed, busy + waits


async def _in_order(waiting: QuerySet[Job], offset: int, limit: int) -> list[Job]:
    """A page of *waiting* as it would be claimed; what lies beyond the horizon, or may not be claimed now, follows by
    class and number."""
    foretold = (await order.foretell()).numbers
    ours: set[int] = set()
    if foretold:
        ours.update(await waiting.filter(number__in=foretold).values_list("number", flat=True))  # type: ignore[arg-type]
    near = [number for number in foretold if number in ours]
    page = near[offset : offset + limit]
    jobs = {job.number: job for job in await waiting.filter(number__in=page)} if page else {}
    found = [jobs[number] for number in page if number in jobs]
    if len(page) < limit:
        far = waiting.filter(number__not_in=near) if near else waiting
        found += await far.order_by("priority", "number").offset(max(offset - len(near), 0)).limit(limit - len(page))
    return found


async def count_pending() -> int:
    """How many runs, of all organizations, wait for their turn in their workspace: behind another, or behind a person's
    lock."""
    return await Run.filter(status=lifecycle.IN_QUEUE, workspace__deleted_at=None).count()


@dataclass(frozen=True, slots=True)
class Capacity:
    running: int
    pending: int


async def capacity_of(actor: Actor, organization: Organization) -> Capacity:
    """How many jobs of an organization a worker has, and how many wait for one."""
    await require_in_organization(actor, "capacity:read", organization.id)
    return Capacity(await _held(organization.id).count(), await _waiting(organization.id).count())


def _held(organization_id: str) -> QuerySet[Job]:
    return Job.filter(organization_id=organization_id, closed_at=None, worker_id__isnull=False)


def _waiting(organization_id: str) -> QuerySet[Job]:
    return Job.filter(organization_id=organization_id, closed_at=None, worker_id=None)


def _group(name: str) -> list[str]:
    if name not in lifecycle.GROUPS:
        raise Invalid(
            f"filter[status_group] is one of {', '.join(lifecycle.GROUPS)}.", parameter="filter[status_group]"
        )
    return sorted(lifecycle.GROUPS[name])

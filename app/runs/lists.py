"""Runs in lists: of a workspace, of an organization's queue."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from tortoise.expressions import Q
from tortoise.queryset import QuerySet

from app.access.actors import Actor
from app.access.permissions import require, require_in_organization
from app.errors import Invalid
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


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a list is narrowed to; an empty member narrows nothing."""

    operations: Collection[str] = ()
    statuses: Collection[str] = ()
    status_group: str | None = None
    sources: Collection[str] = ()
    text: str | None = None


async def of_workspace(actor: Actor, workspace: Workspace, wanted: Wanted) -> QuerySet[Run]:
    """The runs of a workspace, newest first; plan-only ones only where `wanted` names that operation."""
    await require(actor, "run:read", workspace)
    runs = visible(actor).filter(workspace_id=workspace.id)
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
    if wanted.text:
        runs = runs.filter(Q(id=wanted.text) | Q(message__icontains=wanted.text))
    return runs.order_by("-number")


async def queue_of(
    actor: Actor, organization: Organization, offset: int, limit: int
) -> tuple[list[tuple[Run, int]], int]:
    """The runs of an organization whose phase runs or waits for a worker, each with its position from 1, and how
    many there are."""
    await require_in_organization(actor, "queue:read", organization.id)
    jobs = Job.filter(organization_id=organization.id, closed_at=None)
    total = await jobs.count()
    working = jobs.filter(worker_id__isnull=False).order_by("number")
    waiting = jobs.filter(worker_id=None).order_by("priority", "number")
    busy = await working.count()
    rows = await working.offset(offset).limit(limit) if offset < busy else []
    if len(rows) < limit:
        rows += await waiting.offset(max(offset - busy, 0)).limit(limit - len(rows))
    found = {run.id: run for run in await visible(actor).filter(id__in=[job.run_id for job in rows])}
    placed = [(found[job.run_id], offset + place) for place, job in enumerate(rows, 1) if job.run_id in found]
    return placed, total


@dataclass(frozen=True, slots=True)
class Capacity:
    running: int
    pending: int


async def capacity_of(actor: Actor, organization: Organization) -> Capacity:
    """How many jobs of an organization run, and how many wait for a worker."""
    await require_in_organization(actor, "capacity:read", organization.id)
    jobs = Job.filter(organization_id=organization.id, closed_at=None)
    running = await jobs.filter(worker_id__isnull=False, lapsed=False).count()
    return Capacity(running, await jobs.filter(worker_id=None).count())


def _group(name: str) -> list[str]:
    if name not in lifecycle.GROUPS:
        raise Invalid(f"filter[status_group] is one of {', '.join(lifecycle.GROUPS)}.", field="filter[status_group]")
    return sorted(lifecycle.GROUPS[name])

"""What can be done with run triggers: which workspaces' applies queue a run in which others.

They never form a circle, so that what one apply sets off comes to an end.
"""

from __future__ import annotations

from collections import defaultdict
from enum import StrEnum

from tortoise.exceptions import IntegrityError
from tortoise.expressions import Q
from tortoise.queryset import QuerySet

from app import clock, ids
from app.access.actors import Actor
from app.access.permissions import require
from app.errors import Invalid, NotFound
from app.runs.models import RunTrigger
from app.storage import database
from app.storage.database import in_transaction
from app.workspaces import visibility
from app.workspaces.models import Workspace

#: How many workspaces may queue runs in one.
MOST_SOURCES = 20


class Direction(StrEnum):
    """How a trigger stands to a workspace: it queues runs there, or is set off by its applies."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"


def visible(actor: Actor) -> QuerySet[RunTrigger]:
    """Those of which *actor* may see either side; a deleted workspace has none."""
    seen = visibility.subquery(actor)
    living = RunTrigger.filter(workspace__deleted_at=None, sourceable__deleted_at=None)
    return living.filter(Q(workspace_id__in=seen) | Q(sourceable_id__in=seen))


async def find(actor: Actor, trigger_id: str) -> RunTrigger:
    """The trigger, both of its workspaces loaded."""
    trigger = await visible(actor).prefetch_related("workspace", "sourceable").get_or_none(id=trigger_id)
    if trigger is None:
        raise NotFound(f"There is no run trigger {trigger_id[:60]}, or you may not see it.")
    try:
        await require(actor, "run-trigger:read", trigger.workspace)
    except NotFound:
        await require(actor, "run-trigger:read", trigger.sourceable)
    return trigger


async def of(actor: Actor, workspace: Workspace, direction: Direction) -> QuerySet[RunTrigger]:
    await require(actor, "run-trigger:read", workspace)
    column = "workspace_id" if direction is Direction.INBOUND else "sourceable_id"
    return visible(actor).filter(**{column: workspace.id}).order_by("created_at", "id")


async def create(actor: Actor, workspace: Workspace, source: Workspace) -> RunTrigger:
    """Let every apply in *source* queue a run in *workspace*."""
    await require(actor, "run-trigger:manage", workspace)
    await require(actor, "run:read", source)
    if source.organization_id != workspace.organization_id:
        raise NotFound(f"There is no workspace {source.id} in this organization, or you may not see it.")
    try:
        async with in_transaction():
            await database.lock(f"run triggers of {workspace.organization_id}")
            await _check(workspace, source)
            trigger = await RunTrigger.create(
                id=ids.new("run_trigger"), workspace=workspace, sourceable=source, created_at=clock.now()
            )
    except IntegrityError as error:
        raise _taken(workspace, source) from error
    return trigger


async def delete(actor: Actor, trigger: RunTrigger) -> None:
    """Take the trigger away.  Runs it has queued stay."""
    await require(actor, "run-trigger:manage", trigger.workspace)
    await RunTrigger.filter(id=trigger.id).delete()


async def _check(workspace: Workspace, source: Workspace) -> None:
    if source.id == workspace.id:
        raise Invalid("A workspace cannot trigger itself: its applies would never end.", field=_SOURCEABLE)
    inbound = RunTrigger.filter(workspace_id=workspace.id, sourceable__deleted_at=None)
    if await inbound.filter(sourceable_id=source.id).exists():
        raise _taken(workspace, source)
    if await inbound.count() >= MOST_SOURCES:
        raise Invalid(
            f"{workspace.name} has {MOST_SOURCES} run triggers, which is the most a workspace may have. Delete one of"
            " them first.",
            field=_SOURCEABLE,
        )
    circle = await _path(workspace, source)
    if circle:
        raise Invalid(
            f"This run trigger would close a circle that never ends: {' → '.join([*circle, workspace.name])}. Delete"
            " one of the others first.",
            field=_SOURCEABLE,
        )


async def _path(start: Workspace, end: Workspace) -> list[str]:
    """The names of the workspaces by which applies of *start* lead to runs of *end*; none if they do not."""
    living = RunTrigger.filter(workspace__deleted_at=None, sourceable__deleted_at=None)
    of_organization = living.filter(workspace__organization_id=start.organization_id)
    edges: dict[str, list[tuple[str, str]]] = defaultdict(list)
    columns = ("sourceable_id", "workspace_id", "workspace__name")
    for source_id, target_id, name in await of_organization.order_by("id").values_list(*columns):
        edges[source_id].append((target_id, name))
    seen, waiting = {start.id}, [(start.id, [start.name])]
    while waiting:
        at, names = waiting.pop(0)
        if at == end.id:
            return names
        for target_id, name in edges[at]:
            if target_id not in seen:
                seen.add(target_id)
                waiting.append((target_id, [*names, name]))
    return []


def _taken(workspace: Workspace, source: Workspace) -> Invalid:
    return Invalid(f"{source.name} triggers runs of {workspace.name} already.", field=_SOURCEABLE)


_SOURCEABLE = "/data/relationships/sourceable"

"""Which other workspaces may read a workspace's state where it is not open to the whole organization."""

from __future__ import annotations

from collections.abc import Collection

from tortoise.expressions import Subquery
from tortoise.queryset import QuerySet

from app.access.actors import Actor
from app.access.permissions import require
from app.errors import Invalid
from app.storage.database import in_transaction
from app.workspaces.models import RemoteStateConsumer, Workspace
from app.workspaces.visibility import visible


async def consumers(actor: Actor, workspace: Workspace) -> QuerySet[Workspace]:
    """Those that may read: every other one of the organization while it is open, else the named ones."""
    await require(actor, "workspace:read", workspace)
    others = visible(actor).filter(organization_id=workspace.organization_id).exclude(id=workspace.id)
    if workspace.global_remote_state:
        return others
    named = RemoteStateConsumer.filter(workspace_id=workspace.id).values("consumer_id")
    return others.filter(id__in=Subquery(named))


async def add(actor: Actor, workspace: Workspace, consumer_ids: Collection[str]) -> None:
    """Name more consumers; one that is named already is no error."""
    await _may_change(actor, workspace)
    wanted = await _existing(actor, workspace, consumer_ids)
    async with in_transaction():
        await _lock(workspace)
        await _write(workspace, wanted)


async def remove(actor: Actor, workspace: Workspace, consumer_ids: Collection[str]) -> None:
    """Take consumers away; one that is not named is no error."""
    await _may_change(actor, workspace)
    await RemoteStateConsumer.filter(workspace_id=workspace.id, consumer_id__in=list(consumer_ids)).delete()


async def replace(actor: Actor, workspace: Workspace, consumer_ids: Collection[str]) -> None:
    """Let these be the consumers and no others."""
    await _may_change(actor, workspace)
    wanted = await _existing(actor, workspace, consumer_ids)
    async with in_transaction():
        await _lock(workspace)
        await RemoteStateConsumer.filter(workspace_id=workspace.id).exclude(consumer_id__in=list(wanted)).delete()
        await _write(workspace, wanted)


async def _may_change(actor: Actor, workspace: Workspace) -> None:
    await require(actor, "workspace:update", workspace)
    if workspace.global_remote_state:
        raise Invalid(
            "This workspace shares its state with the whole organization. Set global-remote-state to false first,"
            " then name the workspaces that may read it.",
            field="global_remote_state",
        )


async def _existing(actor: Actor, workspace: Workspace, consumer_ids: Collection[str]) -> set[str]:
    wanted = set(consumer_ids)
    if workspace.id in wanted:
        raise Invalid("A workspace always reads its own state; name others.", field="/data")
    there_are = visible(actor).filter(organization_id=workspace.organization_id, id__in=list(wanted))
    missing = wanted - set(map(str, await there_are.values_list("id", flat=True)))
    if missing:
        raise Invalid(
            f"There is no workspace {', '.join(sorted(missing))[:300]} in this organization, or you may not see it.",
            field="/data",
        )
    return wanted


async def _write(workspace: Workspace, wanted: set[str]) -> None:
    named = await RemoteStateConsumer.filter(workspace_id=workspace.id).values_list("consumer_id", flat=True)
    for consumer_id in sorted(wanted - set(map(str, named))):
        await RemoteStateConsumer.create(workspace_id=workspace.id, consumer_id=consumer_id)


async def _lock(workspace: Workspace) -> None:
    await Workspace.filter(id=workspace.id).select_for_update().only("id").first()

"""What can be done with the variables of a workspace."""

from __future__ import annotations

from collections.abc import Sequence

from tortoise.exceptions import IntegrityError
from tortoise.queryset import QuerySet

from app import workspaces
from app.access.actors import Actor
from app.access.permissions import grants, require
from app.errors import NotFound
from app.storage.database import in_transaction
from app.variables import values
from app.variables.models import Variable
from app.variables.values import Change
from app.workspaces.models import Workspace
from app.workspaces.visibility import subquery


async def of(actor: Actor, workspace: Workspace) -> list[Variable]:
    await require(actor, "variable:read", workspace)
    return await Variable.filter(workspace_id=workspace.id).order_by("key", "category", "id")


async def find(actor: Actor, workspace: Workspace, variable_id: str) -> Variable:
    await require(actor, "variable:read", workspace)
    variable = await Variable.get_or_none(id=variable_id, workspace_id=workspace.id)
    if variable is None:
        raise _none(workspace, variable_id)
    return variable


async def find_anywhere(actor: Actor, variable_id: str) -> tuple[Workspace, Variable]:
    """A workspace's variable by its id alone, and its workspace."""
    variable = await Variable.get_or_none(id=variable_id)
    living = workspaces.visible(actor).select_related("organization")
    workspace = await living.get_or_none(id=variable.workspace_id) if variable else None
    missing = f"There is no variable {variable_id[:40]}, or you may not see it."
    if variable is None or workspace is None:
        raise NotFound(missing)
    await require(actor, "variable:read", workspace, missing=missing)
    return workspace, variable


def visible(actor: Actor) -> QuerySet[Variable]:
    """Those of every workspace whose variables *actor* may read, workspace by workspace.  A run's token reads none."""
    may = [id for id in actor.organization_ids if "variable:read" in grants(actor, id)]
    found = Variable.filter(workspace_id__in=subquery(actor), workspace__organization_id__in=may)
    return found.order_by("workspace_id", "key", "category", "id")


async def create(actor: Actor, workspace: Workspace, wanted: Change) -> Variable:
    await require(actor, "variable:write", workspace)
    try:
        async with in_transaction():
            return await values.insert(Variable, wanted, workspace_id=workspace.id)
    except IntegrityError as error:
        raise values.taken() from error


async def update(actor: Actor, workspace: Workspace, variable: Variable, wanted: Change) -> Variable:
    await require(actor, "variable:write", workspace)
    try:
        async with in_transaction():
            return await _update(variable.id, workspace, wanted)
    except IntegrityError as error:
        raise values.taken() from error


async def update_all(actor: Actor, workspace: Workspace, wanted: Sequence[tuple[str, Change]]) -> None:
    """Change several by id: all of them or none."""
    await require(actor, "variable:write", workspace)
    try:
        async with in_transaction():
            for variable_id, change in wanted:
                await _update(variable_id, workspace, change)
    except IntegrityError as error:
        raise values.taken() from error


async def delete(actor: Actor, workspace: Workspace, variable: Variable) -> None:
    await require(actor, "variable:write", workspace)
    await Variable.filter(id=variable.id, workspace_id=workspace.id).delete()


async def _update(variable_id: str, workspace: Workspace, wanted: Change) -> Variable:
    variable = await Variable.filter(id=variable_id, workspace_id=workspace.id).select_for_update().get_or_none()
    if variable is None:
        raise _none(workspace, variable_id)
    await values.change(variable, wanted)
    return variable


def _none(workspace: Workspace, variable_id: str) -> NotFound:
    return NotFound(f"The workspace {workspace.name} has no variable {variable_id[:40]}.")

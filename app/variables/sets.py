"""What can be done with variable sets: variables for many workspaces of an organization."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from tortoise.exceptions import IntegrityError
from tortoise.expressions import Q, Subquery
from tortoise.queryset import QuerySet

from app import clock, ids
from app.access.actors import Actor, Kind
from app.access.permissions import require, require_in_organization
from app.errors import Invalid, NotFound
from app.organizations.models import Organization
from app.projects.models import Project
from app.storage import database
from app.storage.database import in_transaction
from app.variables import assignments, values
from app.variables.inheritance import reaching
from app.variables.models import SetVariable, VariableSet
from app.variables.values import Change
from app.workspaces.models import Workspace


@dataclass(frozen=True, slots=True)
class SetChange:
    """What a request wants of a variable set; None leaves it as it was.  *variables* are added; the ids replace
    what the set is applied to."""

    name: str | None = None
    description: str | None = None
    is_global: bool | None = None
    priority: bool | None = None
    variables: Sequence[Change] = ()
    workspace_ids: Sequence[str] | None = None
    project_ids: Sequence[str] | None = None


def visible(actor: Actor) -> QuerySet[VariableSet]:
    """The sets *actor* may know of.  A run's token reads none."""
    if actor.kind is Kind.SYSTEM:
        return VariableSet.all()
    return VariableSet.filter(organization_id__in=list(actor.organization_ids))


async def find(actor: Actor, set_id: str) -> VariableSet:
    found = await visible(actor).select_related("organization").get_or_none(id=set_id)
    if found is None:
        raise NotFound(f"There is no variable set {set_id[:60]}, or you may not see it.")
    await require_in_organization(actor, "variable-set:read", found.organization_id)
    return found


async def of_organization(actor: Actor, organization: Organization) -> QuerySet[VariableSet]:
    await require_in_organization(actor, "variable-set:read", organization.id)
    return VariableSet.filter(organization_id=organization.id)


async def of_project(actor: Actor, project: Project, scope: str = "all") -> QuerySet[VariableSet]:
    """Those that are ``applied`` to *project* (global ones are to each), ``shared`` with it by the organization,
    ``owned`` by it, or all of these."""
    await require_in_organization(actor, "variable-set:read", project.organization_id)
    on_project = Q(id__in=Subquery(assignments.of_project(project.id)))
    applied, owned = Q(is_global=True) | on_project, Q(project_id=project.id)
    scopes = {
        "applied": applied,
        "shared": applied & Q(project_id=None),
        "owned": owned,
        "all": applied | owned,
    }
    return VariableSet.filter(scopes.get(scope, scopes["all"]), organization_id=project.organization_id)


async def of_workspace(actor: Actor, workspace: Workspace) -> QuerySet[VariableSet]:
    """Those that reach *workspace*."""
    await require(actor, "variable:read", workspace)
    return VariableSet.filter(id__in=[one.variable_set.id for one in await reaching(workspace)])


async def applicable(actor: Actor, workspace: Workspace) -> QuerySet[VariableSet]:
    """Those that could be applied to *workspace* and do not reach it yet."""
    await require(actor, "variable:read", workspace)
    theirs = Q(project_id=None) | Q(project_id=workspace.project_id)
    reached = [one.variable_set.id for one in await reaching(workspace)]
    return VariableSet.filter(theirs, organization_id=workspace.organization_id).exclude(id__in=reached)


async def create(
    actor: Actor, organization: Organization, wanted: SetChange, *, project: Project | None = None
) -> VariableSet:
    """Make a set of *organization*, or one that belongs to *project*."""
    await require_in_organization(actor, "variable-set:manage", organization.id)
    now = clock.now()
    made = VariableSet(
        id=ids.new("variable_set"),
        organization=organization,
        project_id=project.id if project else None,
        name="",
        created_at=now,
        updated_at=now,
    )
    async with _changing(made):
        await _write(actor, made, wanted, is_new=True)
    return made


async def update(actor: Actor, variable_set: VariableSet, wanted: SetChange) -> VariableSet:
    await require_in_organization(actor, "variable-set:manage", variable_set.organization_id)
    async with _changing(variable_set):
        await _write(actor, variable_set, wanted, is_new=False)
    return variable_set


async def delete(actor: Actor, variable_set: VariableSet) -> None:
    """Delete a set with its variables.  Runs that were created before keep what they got."""
    await require_in_organization(actor, "variable-set:manage", variable_set.organization_id)
    await VariableSet.filter(id=variable_set.id).delete()


async def apply_to(actor: Actor, variable_set: VariableSet, kind: assignments.Kind, wanted: Sequence[str]) -> None:
    """Apply the set to more workspaces or projects; one that has it already is no error."""
    await require_in_organization(actor, "variable-set:manage", variable_set.organization_id)
    async with _changing(variable_set):
        await assignments.add(actor, variable_set, kind, wanted)
        await _touch(variable_set)


async def remove_from(actor: Actor, variable_set: VariableSet, kind: assignments.Kind, gone: Sequence[str]) -> None:
    """Take the set from workspaces or projects; one that does not have it is no error."""
    await require_in_organization(actor, "variable-set:manage", variable_set.organization_id)
    async with _changing(variable_set):
        await assignments.remove(variable_set, kind, gone)
        await _touch(variable_set)


async def variables_of(actor: Actor, variable_set: VariableSet) -> list[SetVariable]:
    await require_in_organization(actor, "variable-set:read", variable_set.organization_id)
    return await SetVariable.filter(variable_set_id=variable_set.id).order_by("key", "category", "id")


async def find_variable(actor: Actor, variable_set: VariableSet, variable_id: str) -> SetVariable:
    await require_in_organization(actor, "variable-set:read", variable_set.organization_id)
    found = await SetVariable.get_or_none(id=variable_id, variable_set_id=variable_set.id)
    if found is None:
        raise NotFound(f"The variable set {variable_set.name} has no variable {variable_id[:40]}.")
    return found


async def create_variable(actor: Actor, variable_set: VariableSet, wanted: Change) -> SetVariable:
    await require_in_organization(actor, "variable-set:manage", variable_set.organization_id)
    async with _changing(variable_set):
        made = await values.insert(SetVariable, wanted, variable_set_id=variable_set.id)
        await _check_clashes(variable_set)
        await _touch(variable_set)
    return made


async def update_variable(
    actor: Actor, variable_set: VariableSet, variable: SetVariable, wanted: Change
) -> SetVariable:
    await require_in_organization(actor, "variable-set:manage", variable_set.organization_id)
    async with _changing(variable_set):
        fresh = await find_variable(actor, variable_set, variable.id)
        if await values.change(fresh, wanted):
            await _check_clashes(variable_set)
        await _touch(variable_set)
    return fresh


async def delete_variable(actor: Actor, variable_set: VariableSet, variable: SetVariable) -> None:
    await require_in_organization(actor, "variable-set:manage", variable_set.organization_id)
    async with _changing(variable_set):
        await SetVariable.filter(id=variable.id, variable_set_id=variable_set.id).delete()
        await _touch(variable_set)


@asynccontextmanager
async def _changing(variable_set: VariableSet) -> AsyncIterator[None]:
    """A transaction in which nobody else changes a set of the organization: what one may hold depends on others."""
    try:
        async with in_transaction():
            await database.lock(f"variable sets of {variable_set.organization_id}")
            if variable_set._saved_in_db:
                await _refresh(variable_set)
            yield
    except IntegrityError as error:
        raise values.taken() from error


async def _refresh(variable_set: VariableSet) -> None:
    fresh = await VariableSet.get_or_none(id=variable_set.id)
    if fresh is None:
        raise NotFound(f"The variable set {variable_set.name} was deleted meanwhile.")
    variable_set.update_from_dict(
        {name: getattr(fresh, name) for name in ("name", "description", "is_global", "priority", "updated_at")}
    )


async def _write(actor: Actor, variable_set: VariableSet, wanted: SetChange, *, is_new: bool) -> None:
    fields = ("name", "description", "is_global", "priority")
    asked: dict[str, Any] = {name: getattr(wanted, name) for name in fields if getattr(wanted, name) is not None}
    variable_set.update_from_dict({**asked, "updated_at": clock.now()})
    await _check(variable_set)
    await variable_set.save(force_create=is_new, force_update=not is_new)
    for variable in wanted.variables:
        await values.insert(SetVariable, variable, variable_set_id=variable_set.id)
    await _check_clashes(variable_set)
    for kind, replaced in ((assignments.WORKSPACES, wanted.workspace_ids), (assignments.PROJECTS, wanted.project_ids)):
        if replaced is not None:
            await assignments.replace(actor, variable_set, kind, replaced)


async def _check(variable_set: VariableSet) -> None:
    name = variable_set.name
    if not name.strip() or len(name) > 90 or "\n" in name:
        raise Invalid("The name of a variable set is one line of 1 to 90 characters.", field="name")
    if len(variable_set.description) > 512:
        raise Invalid("The description of a variable set has at most 512 characters.", field="description")
    if variable_set.is_global and variable_set.project_id is not None:
        raise Invalid(
            "A set that belongs to a project cannot be global. Apply it to its project instead, or make one of the"
            " organization.",
            field="global",
        )
    same = VariableSet.filter(
        organization_id=variable_set.organization_id, project_id=variable_set.project_id, name=name
    )
    if await same.exclude(id=variable_set.id).exists():
        raise Invalid("Name has already been taken.", field="name")


async def _check_clashes(variable_set: VariableSet) -> None:
    """Two global sets of one strength would contradict each other in every workspace."""
    if not variable_set.is_global:
        return
    others = SetVariable.filter(
        variable_set__organization_id=variable_set.organization_id,
        variable_set__is_global=True,
        variable_set__priority=variable_set.priority,
    ).exclude(variable_set_id=variable_set.id)
    theirs = {(one.category, one.key): one async for one in others.select_related("variable_set")}
    for mine in await SetVariable.filter(variable_set_id=variable_set.id):
        clash = theirs.get((mine.category, mine.key))
        if clash is not None:
            raise Invalid(
                f"The global set {clash.variable_set.name} has a variable {mine.key} too, and both would reach every"
                " workspace. Rename or remove one of them, or give one set priority.",
                field="key",
            )


async def _touch(variable_set: VariableSet) -> None:
    variable_set.updated_at = clock.now()
    await VariableSet.filter(id=variable_set.id).update(updated_at=variable_set.updated_at)

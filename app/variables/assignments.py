"""What a variable set is applied to: workspaces and projects of its organization, or of the project that owns it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from tortoise.expressions import Q
from tortoise.queryset import QuerySet, ValuesQuery

from app import projects, workspaces
from app.access.actors import Actor
from app.errors import Invalid
from app.projects.models import Project
from app.variables.models import VariableSet, VariableSetProject, VariableSetWorkspace
from app.workspaces.models import Workspace


@dataclass(frozen=True, slots=True)
class Kind:
    """Workspaces or projects: where the assignments are, and by which column."""

    name: str
    model: type[VariableSetProject] | type[VariableSetWorkspace]
    column: str


WORKSPACES = Kind("workspace", VariableSetWorkspace, "workspace_id")
PROJECTS = Kind("project", VariableSetProject, "project_id")


def of_project(project_id: str) -> ValuesQuery[Any]:
    """The ids of the sets that are applied to a project, to be a sub-query."""
    return VariableSetProject.filter(project_id=project_id).values("variable_set_id")


async def add(actor: Actor, variable_set: VariableSet, kind: Kind, wanted: Collection[str]) -> None:
    if variable_set.is_global and wanted:
        raise Invalid(
            f"The set {variable_set.name} is global and reaches every workspace already. Set global to false first,"
            " then say what it is applied to.",
            field="/data",
        )
    await _check(actor, variable_set, kind, set(wanted))
    there = set(await _rows(variable_set, kind).values_list(kind.column, flat=True))
    for id in sorted(set(wanted) - there):
        named: dict[str, Any] = {"variable_set_id": variable_set.id, kind.column: id}
        await kind.model.create(**named)


async def remove(variable_set: VariableSet, kind: Kind, gone: Collection[str]) -> None:
    await _rows(variable_set, kind).filter(**{f"{kind.column}__in": list(gone)}).delete()


async def replace(actor: Actor, variable_set: VariableSet, kind: Kind, wanted: Collection[str]) -> None:
    """Let the set be applied to these and no others."""
    await _rows(variable_set, kind).exclude(**{f"{kind.column}__in": list(wanted)}).delete()
    await add(actor, variable_set, kind, wanted)


def _rows(variable_set: VariableSet, kind: Kind) -> QuerySet[Any]:
    return kind.model.filter(variable_set_id=variable_set.id)


async def _check(actor: Actor, variable_set: VariableSet, kind: Kind, wanted: set[str]) -> None:
    there_are = _allowed(actor, variable_set, kind).filter(id__in=list(wanted))
    missing = wanted - set(map(str, await there_are.values_list("id", flat=True)))
    if missing:
        where = "in this organization" if variable_set.project_id is None else "in the project the set belongs to"
        raise Invalid(
            f"There is no {kind.name} {', '.join(sorted(missing))[:300]} {where}, or you may not see it.",
            field="/data",
        )


def _allowed(actor: Actor, variable_set: VariableSet, kind: Kind) -> QuerySet[Any]:
    found: QuerySet[Project] | QuerySet[Workspace]
    if kind is PROJECTS:
        found, own = projects.visible(actor), Q(id=variable_set.project_id)
    else:
        found, own = workspaces.visible(actor), Q(project_id=variable_set.project_id)
    found = found.filter(organization_id=variable_set.organization_id)
    return found.filter(own) if variable_set.project_id is not None else found

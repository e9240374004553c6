"""What a workspace gets from where: its own variables and those of the sets that reach it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from tortoise.expressions import Q
from tortoise.queryset import QuerySet

from app.access.actors import Actor
from app.access.permissions import require
from app.variables import values
from app.variables.models import (
    Kept,
    SetVariable,
    Variable,
    VariableSet,
    VariableSetProject,
    VariableSetWorkspace,
)
from app.variables.precedence import Candidate, Level, Scope, SetKind, Value, contests, level_of_set
from app.workspaces.models import Workspace


@dataclass(frozen=True, slots=True)
class Reaching:
    """A set that reaches a workspace, and how strong its variables are there."""

    variable_set: VariableSet
    level: Level


@dataclass(slots=True)
class Placed:
    """A variable as a workspace has it: from which set, what beats it, what it beats."""

    variable: Kept
    variable_set: VariableSet | None
    overwriter: Placed | None = None
    overwritten: list[Placed] = field(default_factory=list)


async def effective(workspace: Workspace, run_variables: Iterable[Value] = ()) -> list[Value]:
    """What a run of *workspace* gets: for the domain itself, which shows it to nobody.

    Of *run_variables* with one key the last counts, as on terraform's command line.
    """
    given = {value.key: value for value in run_variables}
    for value in given.values():
        values.check_of_run(value)
    candidates: list[Candidate[Any]] = [Candidate(value, Level.RUN) for value in given.values()]
    candidates += [candidate for candidate, _ in await _everything(workspace)]
    return [_as_value(contest[0]) for contest in contests(candidates)]


async def overview(actor: Actor, workspace: Workspace) -> list[Placed]:
    """Every variable that reaches *workspace*, those that lose as well; by category and key, winners first."""
    await require(actor, "variable:read", workspace)
    everything = await _everything(workspace)
    placed = {one.value.id: Placed(one.value, variable_set) for one, variable_set in everything}
    found = []
    for contest in contests(candidate for candidate, _ in everything):
        first, *others = (placed[candidate.value.id] for candidate in contest)
        first.overwritten = others
        for other in others:
            other.overwriter = first
        found += [first, *others]
    return found


async def reaching(workspace: Workspace) -> list[Reaching]:
    """The sets that reach *workspace*, each once, at its strongest; those of other projects never do."""
    theirs = Q(project_id=None) | Q(project_id=workspace.project_id)
    sets = await VariableSet.filter(theirs, organization_id=workspace.organization_id).order_by("name", "id")
    if not sets:
        return []
    on_project = await _set_ids(VariableSetProject.filter(project_id=workspace.project_id))
    on_workspace = await _set_ids(VariableSetWorkspace.filter(workspace_id=workspace.id))
    found = []
    for one in sets:
        applied = ((Scope.PROJECT, on_project), (Scope.WORKSPACE, on_workspace))
        scopes = [Scope.GLOBAL] if one.is_global else [scope for scope, ids in applied if one.id in ids]
        if scopes:
            found.append(Reaching(one, min(level_of_set(SetKind(one.owner, scope, one.priority)) for scope in scopes)))
    return found


async def _set_ids(assigned: QuerySet[Any]) -> set[str]:
    return set(map(str, await assigned.values_list("variable_set_id", flat=True)))


async def _everything(workspace: Workspace) -> list[tuple[Candidate[Any], VariableSet | None]]:
    rows = await Variable.filter(workspace_id=workspace.id)
    own: list[tuple[Candidate[Any], VariableSet | None]] = [(Candidate(row, Level.WORKSPACE), None) for row in rows]
    by_id = {one.variable_set.id: one for one in await reaching(workspace)}
    if not by_id:
        return own
    for row in await SetVariable.filter(variable_set_id__in=list(by_id)):
        one = by_id[row.variable_set_id]
        own.append((Candidate(row, one.level, one.variable_set.name), one.variable_set))
    return own


def _as_value(winner: Candidate[Any]) -> Value:
    if isinstance(winner.value, Value):
        return winner.value
    return values.as_value(winner.value, f"set {winner.name}" if winner.name else "workspace")

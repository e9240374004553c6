"""What a workspace's document holds besides its own row: loaded once for all workspaces of a page."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from app.access.actors import Kind
from app.access.permissions import Reach, grants, may_reach
from app.runs import queue
from app.variables.models import Variable
from app.workspaces.models import TagBinding, Workspace
from backend_api.jsonapi import Ref, View

#: What the API calls a permission, and the action it stands for.
PERMISSIONS = {
    "can_update": "workspace:update",
    "can_destroy": "workspace:delete",
    "can_force_delete": "workspace:force-delete",
    "can_queue_run": "run:queue",
    "can_read_run": "run:read",
    "can_queue_apply": "run:apply",
    "can_queue_destroy": "run:queue-destroy",
    "can_read_variable": "variable:read",
    "can_update_variable": "variable:write",
    "can_read_state_versions": "state:read",
    "can_read_state_outputs": "state:read-outputs",
    "can_create_state_versions": "state:write",
    "can_lock": "workspace:lock",
    "can_unlock": "workspace:lock",
    "can_force_unlock": "workspace:force-unlock",
    "can_read_settings": "workspace:read-settings",
    "can_manage_tags": "workspace:manage-tags",
}
#: What nobody can here, and what is asked all the same.
NOBODYS = ("can_manage_run_tasks", "can_manage_assessments", "can_read_assessment_results")


def is_locked(workspace: Workspace) -> bool:
    return workspace.locked_by_run_id is not None or workspace.locked_by_user_id is not None


def holder(workspace: Workspace) -> Ref | None:
    if workspace.locked_by_run_id is not None:
        return Ref("runs", workspace.locked_by_run_id)
    if workspace.locked_by_user_id is not None:
        return Ref("users", workspace.locked_by_user_id)
    return None


def permissions(view: View, things: Sequence[Workspace]) -> Mapping[str, Any]:
    """Always there: terraform looks into it without asking whether it is."""
    return {ws.id: _permissions(view.actor, ws) for ws in things}


async def tags(view: View, things: Sequence[Workspace]) -> Mapping[str, Sequence[TagBinding]]:
    found: dict[str, list[TagBinding]] = defaultdict(list)
    for tag in await TagBinding.filter(workspace_id__in=[ws.id for ws in things]).order_by("key"):
        found[tag.workspace_id].append(tag)
    return found


async def variables(view: View, things: Sequence[Workspace]) -> Mapping[str, Sequence[Variable]]:
    """Of the workspaces whose variables may be read; a run's token reads none."""
    readable = [ws.id for ws in things if _permissions(view.actor, ws)["can_read_variable"]]
    found: dict[str, list[Variable]] = defaultdict(list)
    for variable in await Variable.filter(workspace_id__in=readable).order_by("key", "category", "id"):
        found[variable.workspace_id].append(variable)
    return found


async def current_runs(view: View, things: Sequence[Workspace]) -> Mapping[str, str | None]:
    return {ws.id: await queue.current_run_id(ws) for ws in things}


def _permissions(actor: Any, workspace: Workspace) -> dict[str, bool]:
    if actor.kind is Kind.RUN:
        own = workspace.id == actor.claims.workspace_id
        reach = Reach.OWN_WORKSPACE if own else Reach.SHARING_WORKSPACE
        may = {name: may_reach(actor, reach, action) for name, action in PERMISSIONS.items()}
    else:
        granted = grants(actor, workspace.organization_id)
        may = {name: action in granted for name, action in PERMISSIONS.items()}
    return may | dict.fromkeys(NOBODYS, False)

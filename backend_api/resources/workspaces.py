"""Workspaces."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from app import projects, workspaces
from app.errors import Invalid
from app.http.routing import Route
from app.organizations.models import Organization
from app.projects.models import Project
from app.workspaces.models import Workspace
from backend_api import finding
from backend_api.authentication import actor_of, client_version
from backend_api.jsonapi import Attribute, Incoming, Ref, Resource, ToMany, ToOne, View, read_action
from backend_api.resources import vcs_repos, workspace_lists, workspace_parts


class WorkspaceResource(Resource):
    type = "workspaces"
    path = "/api/v2/workspaces/{id}"

    name = Attribute(type=str, writable=True)
    description = Attribute(type=str | None, writable=True)
    execution_mode = Attribute(type=str, writable=True, doc="`remote` or `local`")
    operations = Attribute(lambda ws: ws.execution_mode != "local", type=bool, writable=True, doc="false means local")
    engine = Attribute(type=str, writable=True, doc="`terraform` or `opentofu`; an attribute of ours")
    terraform_version = Attribute(type=str | None, writable=True, doc="exact, `latest`, or a constraint")
    working_directory = Attribute(type=str | None, writable=True)
    auto_apply = Attribute(type=bool, writable=True)
    auto_apply_run_trigger = Attribute(type=bool, writable=True)
    allow_destroy_plan = Attribute(type=bool, writable=True)
    queue_all_runs = Attribute(type=bool, writable=True)
    speculative_enabled = Attribute(type=bool, writable=True)
    file_triggers_enabled = Attribute(type=bool, writable=True)
    trigger_prefixes = Attribute(type=list[str] | None, writable=True)
    trigger_patterns = Attribute(type=list[str] | None, writable=True)
    global_remote_state = Attribute(type=bool, writable=True)
    structured_run_output_enabled = Attribute(type=bool, writable=True)
    source = Attribute(type=str)
    source_name = Attribute(type=str | None, writable=True)
    source_url = Attribute(type=str | None, writable=True)

    locked = Attribute(workspace_parts.is_locked, type=bool)
    locked_reason = Attribute()
    resource_count = Attribute()
    created_at = Attribute()
    updated_at = Attribute()
    latest_change_at = Attribute()
    environment = Attribute(lambda ws: "default")
    tag_names = Attribute(lambda tags: [tag.key for tag in tags or ()], loader=workspace_parts.tags)
    permissions = Attribute(loader=workspace_parts.permissions, dashed_keys=True)
    actions = Attribute(lambda ws: {"is_destroyable": ws.allow_destroy_plan}, dashed_keys=True)
    setting_overwrites = Attribute(lambda ws: {"execution_mode": True, "agent_pool": True}, dashed_keys=True)
    vcs_repo = Attribute(
        vcs_repos.shown,
        loader=vcs_repos.loaded,
        type=vcs_repos.VcsRepo | None,
        writable=True,
        dashed_keys=True,
        doc="the repository it follows; null disconnects it",
    )
    vcs_repo_identifier = Attribute(vcs_repos.identifier, loader=vcs_repos.loaded, type=str | None)
    agent_pool_id = Attribute(lambda ws: None, type=str | None, writable=True)
    assessments_enabled = Attribute(lambda ws: False, type=bool, writable=True)
    last_assessment_result_at = Attribute(lambda ws: None)
    auto_destroy_at = Attribute(lambda ws: None, type=str | None, writable=True)
    auto_destroy_activity_duration = Attribute(lambda ws: None, type=str | None, writable=True)
    inherits_project_auto_destroy = Attribute(lambda ws: False)
    project_remote_state = Attribute(lambda ws: False, type=bool, writable=True)

    organization = ToOne("organizations", lambda ws: Ref("organizations", ws.organization.name))
    project = ToOne("projects", writable=True)
    current_run = ToOne("runs", loader=workspace_parts.current_runs)
    latest_run = ToOne("runs")
    current_state_version = ToOne("state-versions")
    current_configuration_version = ToOne("configuration-versions")
    locked_by = ToOne(("users", "runs", "teams"), workspace_parts.holder)
    agent_pool = ToOne("agent-pools", lambda ws: None)
    ssh_key = ToOne("ssh-keys", lambda ws: None)
    readme = ToOne("workspace-readme", lambda ws: None)
    current_assessment_result = ToOne("assessment-results", lambda ws: None)
    outputs = ToMany("workspace-outputs", related="/api/v2/workspaces/{id}/current-state-version-outputs")
    vars = ToMany("vars", loader=workspace_parts.variables, related="/api/v2/workspaces/{id}/vars")
    remote_state_consumers = ToMany(
        "workspaces", related="/api/v2/workspaces/{id}/relationships/remote-state-consumers"
    )
    tags = ToMany("tags", members={"name": str}, writable=True, related="/api/v2/workspaces/{id}/relationships/tags")
    tag_bindings = ToMany(
        "tag-bindings",
        loader=workspace_parts.tags,
        members={"key": str, "value": str | None},
        writable=True,
        related="/api/v2/workspaces/{id}/tag-bindings",
    )
    effective_tag_bindings = ToMany(
        "effective-tag-bindings",
        loader=workspace_parts.tags,
        related="/api/v2/workspaces/{id}/effective-tag-bindings",
    )

    @classmethod
    async def load(cls, view: View, ids: Sequence[str]) -> Iterable[Workspace]:
        return await workspaces.visible(view.actor).filter(id__in=list(ids)).select_related("organization")


#: What other servers can do and this one cannot: asking for it is refused, turning it off is not.
_WITHOUT = {
    "agent_pool_id": "This server has no agents: its own workers carry out runs.",
    "assessments_enabled": "This server makes no health assessments.",
    "auto_destroy_at": "This server destroys nothing by itself; queue a destroy run.",
    "auto_destroy_activity_duration": "This server destroys nothing by itself; queue a destroy run.",
    "project_remote_state": "A state is shared with the whole organization (global-remote-state) or with named"
    " workspaces.",
}


async def index(request: Request) -> Response:
    """GET /organizations/{organization}/workspaces"""
    organization = await finding.organization(request)
    query = workspaces.visible(actor_of(request)).filter(organization_id=organization.id)
    found = workspace_lists.wanted(request, query).select_related("organization")
    return await WorkspaceResource.page(request, found)


async def show(request: Request) -> Response:
    """GET /workspaces/{id}, GET /organizations/{organization}/workspaces/{name}"""
    return await WorkspaceResource.one(request, await finding.workspace(request))


async def create(request: Request) -> Response:
    """POST /organizations/{organization}/workspaces"""
    organization = await finding.organization(request)
    sent = await WorkspaceResource.read(request, required=["name"])
    version = client_version(request)
    settings = _settings(sent) | {"source": "terraform" if version else "tfe-api"}
    connecting = await vcs_repos.first(actor_of(request), organization, sent)
    workspace = await workspaces.create(
        actor_of(request),
        organization,
        settings.pop("name"),
        project=await _project(request, organization, sent),
        tag_bindings=_tags(sent),
        client_version=version,
        also=connecting.write,
        **settings,
    )
    return await WorkspaceResource.one(request, workspace, 201)


async def update(request: Request) -> Response:
    """PATCH /workspaces/{id}, PATCH /organizations/{organization}/workspaces/{name}"""
    workspace = await finding.workspace(request)
    sent = await WorkspaceResource.read(request)
    connecting = await vcs_repos.change(actor_of(request), workspace, sent)
    await workspaces.update(
        actor_of(request),
        workspace,
        project=await _project(request, workspace.organization, sent),
        tag_bindings=_tags(sent),
        also=connecting.write,
        **_settings(sent),
    )
    return await WorkspaceResource.one(request, workspace)


async def delete(request: Request) -> Response:
    """DELETE /workspaces/{id}, DELETE /organizations/{organization}/workspaces/{name}: by force"""
    await workspaces.delete(actor_of(request), await finding.workspace(request))
    return Response(status_code=204)


async def safe_delete(request: Request) -> Response:
    """POST …/actions/safe-delete"""
    await workspaces.safe_delete(actor_of(request), await finding.workspace(request))
    return Response(status_code=204)


async def lock(request: Request) -> Response:
    """POST /workspaces/{id}/actions/lock"""
    workspace = await finding.workspace(request)
    said = await read_action(request, reason=str | None)
    return await WorkspaceResource.one(request, await workspaces.lock(actor_of(request), workspace, said.get("reason")))


async def unlock(request: Request) -> Response:
    """POST /workspaces/{id}/actions/unlock"""
    workspace = await finding.workspace(request)
    return await WorkspaceResource.one(request, await workspaces.unlock(actor_of(request), workspace))


async def force_unlock(request: Request) -> Response:
    """POST /workspaces/{id}/actions/force-unlock"""
    workspace = await finding.workspace(request)
    return await WorkspaceResource.one(request, await workspaces.force_unlock(actor_of(request), workspace))


def _settings(sent: Incoming) -> dict[str, Any]:
    """What the request says of the workspace's settings, by the names of its columns."""
    settings = dict(sent.attributes)
    settings.pop("vcs_repo", None)
    for field, sentence in _WITHOUT.items():
        if settings.pop(field, None):
            raise Invalid(sentence, field=field)
    operations = settings.pop("operations", None)
    if operations is not None:
        mode = "remote" if operations else "local"
        if settings.setdefault("execution_mode", mode) != mode:
            raise Invalid(
                "operations and execution-mode contradict each other; send execution-mode alone.", field="operations"
            )
    return settings


async def _project(request: Request, organization: Organization, sent: Incoming) -> Project | None:
    ref = sent.relations.get("project")
    if not isinstance(ref, Ref):
        return None
    visible = projects.visible(actor_of(request)).filter(organization_id=organization.id)
    project = await visible.get_or_none(id=ref.id)
    if project is None:
        raise Invalid(
            f"There is no project {str(ref.id)[:60]} in {organization.name}, or you may not see it.",
            field="/data/relationships/project/data/id",
        )
    return project


def _tags(sent: Incoming) -> dict[str, str] | None:
    """Tags of either kind by key; None if the request says nothing of them."""
    if "tags" not in sent.relations and "tag_bindings" not in sent.relations:
        return None
    flat: Any = sent.relations.get("tags") or []
    bindings: Any = sent.relations.get("tag_bindings") or []
    tags = {ref.attributes["name"]: "" for ref in flat if "name" in ref.attributes}
    return tags | {
        ref.attributes["key"]: ref.attributes.get("value") or "" for ref in bindings if "key" in ref.attributes
    }


_NAMED = "/organizations/{organization}/workspaces/{name}"

routes = [
    Route("/organizations/{organization}/workspaces", index),
    Route("/organizations/{organization}/workspaces", create, methods=["POST"]),
    Route("/workspaces/{id}", show),
    Route("/workspaces/{id}", update, methods=["PATCH"]),
    Route("/workspaces/{id}", delete, methods=["DELETE"]),
    Route(_NAMED, show),
    Route(_NAMED, update, methods=["PATCH"]),
    Route(_NAMED, delete, methods=["DELETE"]),
    Route("/workspaces/{id}/actions/safe-delete", safe_delete, methods=["POST"]),
    Route(_NAMED + "/actions/safe-delete", safe_delete, methods=["POST"]),
    Route("/workspaces/{id}/actions/lock", lock, methods=["POST"]),
    Route("/workspaces/{id}/actions/unlock", unlock, methods=["POST"]),
    Route("/workspaces/{id}/actions/force-unlock", force_unlock, methods=["POST"]),
]

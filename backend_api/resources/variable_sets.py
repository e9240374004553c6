"""Variable sets, their variables, and what they are applied to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from tortoise.queryset import QuerySet

from app import projects
from app.errors import Invalid
from app.http.routing import Route
from app.organizations.models import Organization
from app.projects.models import Project
from app.variables import assignments, sets
from app.variables.assignments import Kind
from app.variables.models import SetVariable, VariableSet, VariableSetProject, VariableSetWorkspace
from app.variables.sets import SetChange
from backend_api import finding
from backend_api.authentication import actor_of
from backend_api.jsonapi import Attribute, Incoming, Page, Ref, Resource, ToMany, ToOne, View
from backend_api.ordering import order
from backend_api.resources import projects as project_resources
from backend_api.resources.variables import WRITABLE, VariableResource, change


async def _variables(view: View, things: Sequence[VariableSet]) -> Mapping[str, Sequence[SetVariable]]:
    found: dict[str, list[SetVariable]] = defaultdict(list)
    rows = SetVariable.filter(variable_set_id__in=[one.id for one in things])
    for row in await rows.order_by("key", "category", "id"):
        found[row.variable_set_id].append(row)
    return found


async def _workspaces(view: View, things: Sequence[VariableSet]) -> Mapping[str, Sequence[str]]:
    """Those that are not deleted, and for a project's set still in that project."""
    rows = VariableSetWorkspace.filter(variable_set_id__in=[one.id for one in things], workspace__deleted_at=None)
    owners = {one.id: one.project_id for one in things}
    found: dict[str, list[str]] = defaultdict(list)
    named = rows.order_by("workspace__name", "id").values_list(
        "variable_set_id", "workspace_id", "workspace__project_id"
    )
    for set_id, workspace_id, project_id in await named:
        if owners[set_id] in (None, project_id):
            found[set_id].append(workspace_id)
    return found


async def _projects(view: View, things: Sequence[VariableSet]) -> Mapping[str, Sequence[str]]:
    rows = VariableSetProject.filter(variable_set_id__in=[one.id for one in things])
    found: dict[str, list[str]] = defaultdict(list)
    for row in await rows.order_by("project__name", "id"):
        found[row.variable_set_id].append(row.project_id)
    return found


def _permissions(view: View, things: Sequence[VariableSet]) -> Mapping[str, Any]:
    return {one.id: {"can_update": view.actor.owns(one.organization_id)} for one in things}


def _parent(one: VariableSet) -> Ref:
    return Ref("projects", one.project_id) if one.project_id else Ref("organizations", one.organization.name)


def _number(found: Sequence[Any] | None) -> int:
    return len(found or ())


class VariableSetResource(Resource):
    type = "varsets"
    path = "/api/v2/varsets/{id}"

    name = Attribute(type=str, writable=True)
    description = Attribute(type=str | None, writable=True)
    is_global = Attribute(type=bool, writable=True, name="global", doc="it reaches every workspace")
    priority = Attribute(type=bool, writable=True, doc="it goes before what workspaces and runs say")
    created_at = Attribute()
    updated_at = Attribute()
    var_count = Attribute(_number, loader=_variables, type=int)
    workspace_count = Attribute(_number, loader=_workspaces, type=int)
    project_count = Attribute(_number, loader=_projects, type=int)
    stack_count = Attribute(lambda one: 0, type=int)
    permissions = Attribute(loader=_permissions, dashed_keys=True)

    organization = ToOne("organizations", lambda one: Ref("organizations", one.organization.name))
    parent = ToOne(("organizations", "projects"), _parent, writable=True, doc="who it belongs to; fixed")
    vars = ToMany("vars", loader=_variables, members=WRITABLE, writable=True, doc="added to those it has")
    workspaces = ToMany("workspaces", loader=_workspaces, writable=True)
    projects = ToMany("projects", loader=_projects, writable=True)
    stacks = ToMany("stacks", lambda one: (), writable=True, doc="this server has none")

    @classmethod
    async def load(cls, view: View, ids: Sequence[str]) -> Iterable[VariableSet]:
        return await sets.visible(view.actor).filter(id__in=list(ids)).select_related("organization")


async def index(request: Request) -> Response:
    """GET /organizations/{organization}/varsets"""
    organization = await finding.organization(request)
    found = await sets.of_organization(actor_of(request), organization)
    query = request.query_params
    if query.get("filter[global]") in ("true", "false"):
        found = found.filter(is_global=query["filter[global]"] == "true")
    if query.get("scope") == "owned":
        found = found.filter(project_id=None)
    return await _listed(request, found)


async def of_project(request: Request) -> Response:
    """GET /projects/{id}/varsets"""
    project = await project_resources.find(request)
    scope = request.query_params.get("scope") or "all"
    return await _listed(request, await sets.of_project(actor_of(request), project, scope))


async def of_workspace(request: Request) -> Response:
    """GET /workspaces/{id}/varsets: those that reach it"""
    return await _listed(request, await sets.of_workspace(actor_of(request), await finding.workspace(request)))


async def applicable(request: Request) -> Response:
    """GET /workspaces/{id}/applicable-varsets: those that could be applied to it"""
    return await _listed(request, await sets.applicable(actor_of(request), await finding.workspace(request)))


async def _listed(request: Request, found: QuerySet[VariableSet]) -> Response:
    if text := request.query_params.get("q"):
        found = found.filter(name__icontains=text)
    found = found.order_by(*order(request, {"name": ["name"]}, "name"))
    return await VariableSetResource.page(request, found.select_related("organization"))


async def show(request: Request) -> Response:
    """GET /varsets/{id}"""
    return await VariableSetResource.one(request, await _find(request))


async def create(request: Request) -> Response:
    """POST /organizations/{organization}/varsets"""
    organization = await finding.organization(request)
    sent = await VariableSetResource.read(request, required=["name"])
    project = await _owner(request, organization, sent)
    made = await sets.create(actor_of(request), organization, _change(sent), project=project)
    return await VariableSetResource.one(request, made, 201)


async def update(request: Request) -> Response:
    """PATCH, PUT, POST /varsets/{id}: relationships replace what it is applied to"""
    found = await _find(request)
    sent = await VariableSetResource.read(request)
    parent = sent.relations.get("parent")
    if isinstance(parent, Ref) and parent != _parent(found):
        raise Invalid(
            "A variable set stays with whom it belongs to. Make another one there.",
            field="/data/relationships/parent",
        )
    return await VariableSetResource.one(request, await sets.update(actor_of(request), found, _change(sent)))


async def delete(request: Request) -> Response:
    """DELETE /varsets/{id}"""
    await sets.delete(actor_of(request), await _find(request))
    return Response(status_code=204)


async def variables(request: Request) -> Response:
    """GET /varsets/{id}/relationships/vars: all of them, or a page"""
    found = await sets.variables_of(actor_of(request), await _find(request))
    page = Page.if_asked(request.query_params) or Page(1, max(len(found), 1))
    return await VariableResource.listed(request, found[page.offset : page.offset + page.size], page, len(found))


async def create_variable(request: Request) -> Response:
    """POST /varsets/{id}/relationships/vars"""
    variable_set = await _find(request)
    sent = await VariableResource.read(request, required=["key", "category"])
    made = await sets.create_variable(actor_of(request), variable_set, change(sent))
    return await VariableResource.one(request, made, 201)


async def show_variable(request: Request) -> Response:
    """GET /varsets/{id}/relationships/vars/{variable}"""
    _, variable = await _find_variable(request)
    return await VariableResource.one(request, variable)


async def update_variable(request: Request) -> Response:
    """PATCH /varsets/{id}/relationships/vars/{variable}"""
    variable_set, variable = await _find_variable(request)
    sent = await VariableResource.read(request)
    changed = await sets.update_variable(actor_of(request), variable_set, variable, change(sent))
    return await VariableResource.one(request, changed)


async def delete_variable(request: Request) -> Response:
    """DELETE /varsets/{id}/relationships/vars/{variable}"""
    variable_set, variable = await _find_variable(request)
    await sets.delete_variable(actor_of(request), variable_set, variable)
    return Response(status_code=204)


async def add_workspaces(request: Request) -> Response:
    """POST /varsets/{id}/relationships/workspaces"""
    return await _add(request, assignments.WORKSPACES, "workspaces")


async def remove_workspaces(request: Request) -> Response:
    """DELETE /varsets/{id}/relationships/workspaces"""
    return await _remove(request, assignments.WORKSPACES, "workspaces")


async def add_projects(request: Request) -> Response:
    """POST /varsets/{id}/relationships/projects"""
    return await _add(request, assignments.PROJECTS, "projects")


async def remove_projects(request: Request) -> Response:
    """DELETE /varsets/{id}/relationships/projects"""
    return await _remove(request, assignments.PROJECTS, "projects")


async def add_stacks(request: Request) -> Response:
    """POST, DELETE /varsets/{id}/relationships/stacks: there are none here"""
    await _find(request)
    refs: Any = await VariableSetResource.read_members(request, "stacks")
    _check_stacks(refs)
    return Response(status_code=204)


async def _add(request: Request, kind: Kind, relation: str) -> Response:
    variable_set = await _find(request)
    await sets.apply_to(actor_of(request), variable_set, kind, await _ids(request, relation))
    return Response(status_code=204)


async def _remove(request: Request, kind: Kind, relation: str) -> Response:
    variable_set = await _find(request)
    await sets.remove_from(actor_of(request), variable_set, kind, await _ids(request, relation))
    return Response(status_code=204)


async def _ids(request: Request, relation: str) -> list[str]:
    refs: Any = await VariableSetResource.read_members(request, relation)
    return [ref.id for ref in refs]


async def _find(request: Request) -> VariableSet:
    return await sets.find(actor_of(request), request.path_params["id"])


async def _find_variable(request: Request) -> tuple[VariableSet, SetVariable]:
    variable_set = await _find(request)
    return variable_set, await sets.find_variable(actor_of(request), variable_set, request.path_params["variable"])


async def _owner(request: Request, organization: Organization, sent: Incoming) -> Project | None:
    """The project that is to own the set, if one is."""
    parent = sent.relations.get("parent")
    if not isinstance(parent, Ref) or parent == Ref("organizations", organization.name):
        return None
    visible = projects.visible(actor_of(request)).filter(organization_id=organization.id)
    found = await visible.get_or_none(id=parent.id) if parent.type == "projects" else None
    if found is None:
        raise Invalid(
            f"The parent is {organization.name} or one of its projects; there is no {str(parent.id)[:60]} there, or you"
            " may not see it.",
            field="/data/relationships/parent",
        )
    return found


def _change(sent: Incoming) -> SetChange:
    """null empties the description; what is not sent stays.  A variable named by its id alone is there already."""
    given: dict[str, Any] = dict(sent.attributes)
    if "description" in given:
        given["description"] = given["description"] or ""
    related: dict[str, Any] = dict(sent.relations)
    _check_stacks(related.get("stacks") or ())
    for name in ("workspaces", "projects"):
        if name in related:
            given[f"{name[:-1]}_ids"] = [ref.id for ref in related[name]]
    given["variables"] = [change(ref) for ref in related.get("vars") or () if ref.attributes]
    return SetChange(**given)


def _check_stacks(refs: Sequence[Ref]) -> None:
    if refs:
        raise Invalid("This server has no stacks; apply the set to workspaces or projects.", field="/data")


_VARS = "/varsets/{id}/relationships/vars"

routes = [
    Route("/organizations/{organization}/varsets", index),
    Route("/organizations/{organization}/varsets", create, methods=["POST"]),
    Route("/varsets/{id}", show),
    Route("/varsets/{id}", update, methods=["PATCH", "PUT", "POST"]),
    Route("/varsets/{id}", delete, methods=["DELETE"]),
    Route(_VARS, variables),
    Route(_VARS, create_variable, methods=["POST"]),
    Route(_VARS + "/{variable}", show_variable),
    Route(_VARS + "/{variable}", update_variable, methods=["PATCH"]),
    Route(_VARS + "/{variable}", delete_variable, methods=["DELETE"]),
    Route("/varsets/{id}/relationships/workspaces", add_workspaces, methods=["POST"]),
    Route("/varsets/{id}/relationships/workspaces", remove_workspaces, methods=["DELETE"]),
    Route("/varsets/{id}/relationships/projects", add_projects, methods=["POST"]),
    Route("/varsets/{id}/relationships/projects", remove_projects, methods=["DELETE"]),
    Route("/varsets/{id}/relationships/stacks", add_stacks, methods=["POST", "DELETE"]),
    Route("/projects/{id}/varsets", of_project),
    Route("/workspaces/{id}/varsets", of_workspace),
    Route("/workspaces/{id}/applicable-varsets", applicable),
]

"""Projects."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from tortoise.functions import Count

from app import projects
from app.errors import NotFound
from app.http.routing import Route
from app.projects.models import Project
from app.workspaces.models import Workspace
from backend_api import finding
from backend_api.authentication import actor_of
from backend_api.jsonapi import Attribute, Page, Resource, ToOne, View
from backend_api.ordering import order

_OWNERS = (
    "can_read",
    "can_update",
    "can_destroy",
    "can_create_workspace",
    "can_move_workspace",
    "can_manage_tags",
    "can_read_teams",
    "can_manage_teams",
    "can_manage_varsets",
)


def _permissions(view: View, things: Sequence[Project]) -> Mapping[str, Any]:
    return {
        one.id: dict.fromkeys(_OWNERS, view.actor.owns(one.organization_id))
        | {"can_destroy": view.actor.owns(one.organization_id) and not one.is_default}
        for one in things
    }


async def _counts(view: View, things: Sequence[Project]) -> Mapping[str, Any]:
    living = Workspace.filter(project_id__in=[one.id for one in things], deleted_at=None)
    rows = await living.annotate(number=Count("id")).group_by("project_id").values("project_id", "number")
    return dict.fromkeys((one.id for one in things), 0) | {row["project_id"]: row["number"] for row in rows}


class ProjectResource(Resource):
    type = "projects"
    path = "/api/v2/projects/{id}"

    name = Attribute(type=str, writable=True)
    description = Attribute(type=str | None, writable=True)
    created_at = Attribute()
    auto_destroy_activity_duration = Attribute(lambda one: None)
    default_execution_mode = Attribute(lambda one: one.organization.default_execution_mode)
    setting_overwrites = Attribute(
        lambda one: {"default_execution_mode": False, "default_agent_pool": False}, dashed_keys=True
    )
    permissions = Attribute(loader=_permissions, dashed_keys=True)
    workspace_count = Attribute(loader=_counts)
    team_count = Attribute(lambda one: 0)
    is_unified = Attribute(lambda one: False)

    organization = ToOne("organizations", lambda one: one.organization)

    @classmethod
    async def load(cls, view: View, ids: Sequence[str]) -> Iterable[Project]:
        return await projects.visible(view.actor).filter(id__in=list(ids)).select_related("organization")


async def index(request: Request) -> Response:
    """GET /organizations/{organization}/projects"""
    organization = await finding.organization(request)
    query = projects.visible(actor_of(request)).filter(organization_id=organization.id)
    wanted = request.query_params
    if names := wanted.get("filter[names]"):
        query = query.filter(name__in=[name.strip() for name in names.split(",")])
    elif text := wanted.get("q"):
        query = query.filter(name__icontains=text)
    query = query.order_by(*order(request, {"name": ["name"]}, "name")).select_related("organization")
    if Page.if_asked(wanted):
        return await ProjectResource.page(request, query)
    things = await query  # terraform asks for the first page only
    return await ProjectResource.listed(request, things, Page(1, max(len(things), 1)), len(things))


async def show(request: Request) -> Response:
    """GET /projects/{id}"""
    return await ProjectResource.one(request, await find(request))


async def create(request: Request) -> Response:
    """POST /organizations/{organization}/projects"""
    organization = await finding.organization(request)
    sent = await ProjectResource.read(request, required=["name"])
    project = await projects.create(
        actor_of(request), organization, sent.attributes["name"], description=sent.get("description") or ""
    )
    project.organization = organization
    return await ProjectResource.one(request, project, 201)


async def update(request: Request) -> Response:
    """PATCH /projects/{id}"""
    project = await find(request)
    sent = await ProjectResource.read(request)
    description = (sent.get("description") or "") if "description" in sent else None
    await projects.update(actor_of(request), project, name=sent.get("name"), description=description)
    return await ProjectResource.one(request, project)


async def delete(request: Request) -> Response:
    """DELETE /projects/{id}"""
    await projects.delete(actor_of(request), await find(request))
    return Response(status_code=204)


async def find(request: Request) -> Project:
    id = request.path_params["id"]
    project = await projects.visible(actor_of(request)).select_related("organization").get_or_none(id=id)
    if project is None:
        raise NotFound(f"There is no project {id}, or you may not see it.")
    return project


routes = [
    Route("/organizations/{organization}/projects", index),
    Route("/organizations/{organization}/projects", create, methods=["POST"]),
    Route("/projects/{id}", show),
    Route("/projects/{id}", update, methods=["PATCH"]),
    Route("/projects/{id}", delete, methods=["DELETE"]),
]

"""Run triggers: whose applies queue runs where."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from app import workspaces
from app.http.routing import Route
from app.runs import triggers
from app.runs.triggers import Direction
from backend_api import finding
from backend_api.authentication import actor_of
from backend_api.errors import BadRequest
from backend_api.jsonapi import Attribute, Resource, ToOne


class RunTriggerResource(Resource):
    type = "run-triggers"
    path = "/api/v2/run-triggers/{id}"

    workspace_name = Attribute(lambda one: one.workspace.name, type=str)
    sourceable_name = Attribute(lambda one: one.sourceable.name, type=str)
    created_at = Attribute()

    workspace = ToOne("workspaces")
    sourceable = ToOne("workspaces", writable=True, doc="the workspace whose applies queue runs")


async def index(request: Request) -> Response:
    """GET /workspaces/{id}/run-triggers?filter[run-trigger][type]=inbound, or outbound"""
    workspace = await finding.workspace(request)
    wanted = request.query_params.get("filter[run-trigger][type]")
    if wanted not in tuple(Direction):
        raise BadRequest(
            "Say filter[run-trigger][type]=inbound, or outbound: which triggers of the workspace?",
            parameter="filter[run-trigger][type]",
        )
    found = await triggers.of(actor_of(request), workspace, Direction(wanted))
    return await RunTriggerResource.page(request, found.prefetch_related("workspace", "sourceable"))


async def show(request: Request) -> Response:
    """GET /run-triggers/{id}"""
    return await RunTriggerResource.one(request, await _find(request))


async def create(request: Request) -> Response:
    """POST /workspaces/{id}/run-triggers"""
    actor = actor_of(request)
    workspace = await finding.workspace(request)
    sent = await RunTriggerResource.read(request, required=["sourceable"])
    ref: Any = sent.relations["sourceable"]
    source = await workspaces.find(actor, ref.id if ref is not None else "")
    return await RunTriggerResource.one(request, await triggers.create(actor, workspace, source), 201)


async def delete(request: Request) -> Response:
    """DELETE /run-triggers/{id}"""
    await triggers.delete(actor_of(request), await _find(request))
    return Response(status_code=204)


async def _find(request: Request) -> Any:
    return await triggers.find(actor_of(request), request.path_params["id"])


routes = [
    Route("/workspaces/{id}/run-triggers", index),
    Route("/workspaces/{id}/run-triggers", create, methods=["POST"]),
    Route("/run-triggers/{id}", show),
    Route("/run-triggers/{id}", delete, methods=["DELETE"]),
]

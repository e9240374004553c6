"""Variables of a workspace.  A sensitive one's value goes in and never comes out."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from app import variables
from app.errors import Invalid
from app.http.routing import Route
from app.secret import Secret
from app.variables.actions import reveal
from app.variables.models import Variable
from app.workspaces.models import Workspace
from backend_api import finding
from backend_api.authentication import actor_of
from backend_api.jsonapi import Attribute, Incoming, Ref, Resource, ToOne


def _shown(variable: Variable) -> str | None:
    return None if variable.sensitive else reveal(variable).reveal()


class VariableResource(Resource):
    type = "vars"

    key = Attribute(type=str, writable=True)
    value = Attribute(_shown, type=str | None, writable=True, doc="null where sensitive")
    description = Attribute(type=str | None, writable=True)
    category = Attribute(type=str, writable=True, doc="`terraform` or `env`")
    hcl = Attribute(type=bool, writable=True, doc="the value is an expression of Terraform's language")
    sensitive = Attribute(type=bool, writable=True)
    version_id = Attribute()
    created_at = Attribute()

    configurable = ToOne("workspaces", lambda one: Ref("workspaces", one.workspace_id))
    workspace = ToOne("workspaces", writable=True)


async def index(request: Request) -> Response:
    """GET /workspaces/{id}/vars, GET /workspaces/{id}/all-vars: all of them in one page"""
    workspace = await finding.workspace(request)
    return await VariableResource.all(request, await variables.of(actor_of(request), workspace))


async def show(request: Request) -> Response:
    """GET /workspaces/{id}/vars/{variable}"""
    _, variable = await _find(request)
    return await VariableResource.one(request, variable)


async def create(request: Request) -> Response:
    """POST /workspaces/{id}/vars"""
    workspace = await finding.workspace(request)
    sent = await VariableResource.read(request, required=["key", "category"])
    variable = await variables.create(actor_of(request), workspace, _change(sent))
    return await VariableResource.one(request, variable, 201)


async def update(request: Request) -> Response:
    """PATCH /workspaces/{id}/vars/{variable}"""
    workspace, variable = await _find(request)
    sent = await VariableResource.read(request)
    changed = await variables.update(actor_of(request), workspace, variable, _change(sent))
    return await VariableResource.one(request, changed)


async def update_all(request: Request) -> Response:
    """PATCH /workspaces/{id}/relationships/vars: several by id, all of them or none"""
    workspace = await finding.workspace(request)
    sent = await VariableResource.read_list(request)
    for number, one in enumerate(sent):
        if one.id is None:
            raise Invalid("Each variable needs its id.", field=f"/data/{number}/id")
    changes = [(str(one.id), _change(one)) for one in sent]
    await variables.update_all(actor_of(request), workspace, changes)
    return Response(status_code=204)


async def delete(request: Request) -> Response:
    """DELETE /workspaces/{id}/vars/{variable}"""
    workspace, variable = await _find(request)
    await variables.delete(actor_of(request), workspace, variable)
    return Response(status_code=204)


async def _find(request: Request) -> tuple[Workspace, Variable]:
    workspace = await finding.workspace(request)
    return workspace, await variables.find(actor_of(request), workspace, request.path_params["variable"])


def _change(sent: Incoming) -> variables.Change:
    """null empties a text; what is not sent stays."""
    given: dict[str, Any] = dict(sent.attributes)
    if "value" in given:
        given["value"] = Secret(given["value"] or "")
    if "description" in given:
        given["description"] = given["description"] or ""
    return variables.Change(**given)


routes = [
    Route("/workspaces/{id}/vars", index),
    Route("/workspaces/{id}/all-vars", index),
    Route("/workspaces/{id}/vars", create, methods=["POST"]),
    Route("/workspaces/{id}/vars/{variable}", show),
    Route("/workspaces/{id}/vars/{variable}", update, methods=["PATCH"]),
    Route("/workspaces/{id}/vars/{variable}", delete, methods=["DELETE"]),
    Route("/workspaces/{id}/relationships/vars", update_all, methods=["PATCH"]),
]

"""Variables of a workspace.  A sensitive one's value goes in and never comes out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from app import variables, workspaces
from app.errors import Invalid, NotFound
from app.http.routing import Route
from app.secret import Secret
from app.variables import sets
from app.variables.inheritance import Placed
from app.variables.models import Kept, SetVariable, Variable
from app.variables.values import reveal
from app.workspaces.models import Workspace
from backend_api import finding
from backend_api.authentication import actor_of
from backend_api.jsonapi import Attribute, Incoming, Ref, Resource, ToMany, ToOne, View

#: The attributes a request may give a variable, also where a variable set brings its variables along.
WRITABLE: dict[str, Any] = {
    "key": str,
    "value": str | None,
    "description": str | None,
    "category": str,
    "hcl": bool,
    "sensitive": bool,
}


def _shown(variable: Kept) -> str | None:
    return None if variable.sensitive else reveal(variable).reveal()


def _workspace(variable: Kept) -> Ref | None:
    return Ref("workspaces", variable.workspace_id) if isinstance(variable, Variable) else None


def _set(variable: Kept) -> Ref | None:
    return Ref("varsets", variable.variable_set_id) if isinstance(variable, SetVariable) else None


class VariableResource(Resource):
    type = "vars"

    key = Attribute(type=WRITABLE["key"], writable=True)
    value = Attribute(_shown, type=WRITABLE["value"], writable=True, doc="null where sensitive")
    description = Attribute(type=WRITABLE["description"], writable=True)
    category = Attribute(type=WRITABLE["category"], writable=True, doc="`terraform` or `env`")
    hcl = Attribute(type=WRITABLE["hcl"], writable=True, doc="the value is an expression of Terraform's language")
    sensitive = Attribute(type=WRITABLE["sensitive"], writable=True)
    version_id = Attribute()
    created_at = Attribute()

    configurable = ToOne(("workspaces", "varsets"), lambda one: _workspace(one) or _set(one))
    workspace = ToOne("workspaces", _workspace, writable=True)
    varset = ToOne("varsets", _set)


def _overwriters(view: View, things: Sequence[Any]) -> Mapping[str, Any]:
    return {one.id: one.placed.overwriter.variable for one in things if one.placed.overwriter}


def _overwritten(view: View, things: Sequence[Any]) -> Mapping[str, Any]:
    return {one.id: [other.variable for other in one.placed.overwritten] for one in things}


class VariableOfWorkspaceResource(VariableResource, variant=True):
    """A variable as one workspace has it: which one it gives way to there, and which give way to it."""

    overwriter = ToOne("vars", loader=_overwriters)
    overwritten = ToMany("vars", loader=_overwritten)


async def index(request: Request) -> Response:
    """GET /workspaces/{id}/vars: its own, all of them in one page"""
    return await _own(request, await finding.workspace(request))


async def index_everywhere(request: Request) -> Response:
    """GET /vars?filter[workspace][name]=…&filter[organization][name]=…: for old clients; without, of all workspaces"""
    workspace = await finding.workspace_asked(request)
    if workspace is not None:
        return await _own(request, workspace)
    return await VariableResource.page(request, variables.visible(actor_of(request)))


async def _own(request: Request, workspace: Workspace) -> Response:
    placed = await variables.overview(actor_of(request), workspace)
    own = sorted((one for one in placed if one.variable_set is None), key=_order)
    return await _in_workspace(request, own)


async def all_that_reach(request: Request) -> Response:
    """GET /workspaces/{id}/all-vars: what its next run gets, from itself and from variable sets, in one page"""
    workspace = await finding.workspace(request)
    placed = await variables.overview(actor_of(request), workspace)
    winners = sorted((one for one in placed if one.overwriter is None), key=_order)
    return await _in_workspace(request, winners)


async def of_set(request: Request) -> Response:
    """GET /workspaces/{id}/varsets/{varset}/relationships/vars: of a set, as the workspace has them"""
    return await _in_workspace(request, await _of_set(request))


async def show_of_set(request: Request) -> Response:
    """GET /workspaces/{id}/varsets/{varset}/relationships/vars/{variable}"""
    id = request.path_params["variable"]
    wanted = next((one for one in await _of_set(request) if one.variable.id == id), None)
    if wanted is None:
        raise NotFound(f"The variable set has no variable {id[:40]}.")
    return await VariableOfWorkspaceResource.one(request, _thing(wanted))


async def _of_set(request: Request) -> list[Placed]:
    """The set's variables; where it does not reach the workspace, nothing overwrites them there."""
    actor = actor_of(request)
    workspace = await finding.workspace(request)
    placed = {one.variable.id: one for one in await variables.overview(actor, workspace)}
    variable_set = await sets.find(actor, request.path_params["varset"])
    rows = await sets.variables_of(actor, variable_set)
    return [placed.get(row.id) or Placed(row, variable_set) for row in rows]


async def _in_workspace(request: Request, placed: Iterable[Placed]) -> Response:
    return await VariableOfWorkspaceResource.all(request, [_thing(one) for one in placed])


def _thing(placed: Placed) -> Any:
    variable: Any = placed.variable
    variable.placed = placed
    return variable


def _order(placed: Placed) -> tuple[str, str, str]:
    return placed.variable.key, placed.variable.category, placed.variable.id


async def show(request: Request) -> Response:
    """GET /workspaces/{id}/vars/{variable}"""
    _, variable = await _find(request)
    return await VariableResource.one(request, variable)


async def create(request: Request) -> Response:
    """POST /workspaces/{id}/vars"""
    workspace = await finding.workspace(request)
    return await _create(request, workspace, await VariableResource.read(request, required=["key", "category"]))


async def create_anywhere(request: Request) -> Response:
    """POST /vars: for old clients; the relation `workspace` says where"""
    sent = await VariableResource.read(request, required=["key", "category", "workspace"])
    workspace = await workspaces.find(actor_of(request), sent.id_of("workspace"))
    return await _create(request, workspace, sent)


async def _create(request: Request, workspace: Workspace, sent: Incoming) -> Response:
    variable = await variables.create(actor_of(request), workspace, change(sent))
    return await VariableResource.one(request, variable, 201)


async def update(request: Request) -> Response:
    """PATCH /workspaces/{id}/vars/{variable}

    Old clients leave the workspace out: /vars/{variable}."""
    workspace, variable = await _find(request)
    sent = await VariableResource.read(request)
    changed = await variables.update(actor_of(request), workspace, variable, change(sent))
    return await VariableResource.one(request, changed)


async def update_all(request: Request) -> Response:
    """PATCH /workspaces/{id}/relationships/vars: several by id, all of them or none"""
    workspace = await finding.workspace(request)
    sent = await VariableResource.read_list(request)
    for number, one in enumerate(sent):
        if one.id is None:
            raise Invalid("Each variable needs its id.", field=f"/data/{number}/id")
    changes = [(str(one.id), change(one)) for one in sent]
    await variables.update_all(actor_of(request), workspace, changes)
    return Response(status_code=204)


async def delete(request: Request) -> Response:
    """DELETE /workspaces/{id}/vars/{variable}

    Old clients leave the workspace out: /vars/{variable}."""
    workspace, variable = await _find(request)
    await variables.delete(actor_of(request), workspace, variable)
    return Response(status_code=204)


async def _find(request: Request) -> tuple[Workspace, Variable]:
    id = request.path_params["variable"]
    if "id" not in request.path_params:
        return await variables.find_anywhere(actor_of(request), id)
    workspace = await finding.workspace(request)
    return workspace, await variables.find(actor_of(request), workspace, id)


def change(sent: Incoming | Ref) -> variables.Change:
    """null empties a text; what is not sent stays."""
    given: dict[str, Any] = dict(sent.attributes)
    if "value" in given:
        given["value"] = Secret(given["value"] or "")
    if "description" in given:
        given["description"] = given["description"] or ""
    return variables.Change(**given)


_OF_SET = "/workspaces/{id}/varsets/{varset}/relationships/vars"

routes = [
    Route("/workspaces/{id}/vars", index),
    Route("/workspaces/{id}/all-vars", all_that_reach),
    Route("/workspaces/{id}/vars", create, methods=["POST"]),
    Route("/workspaces/{id}/vars/{variable}", show),
    Route("/workspaces/{id}/vars/{variable}", update, methods=["PATCH"]),
    Route("/workspaces/{id}/vars/{variable}", delete, methods=["DELETE"]),
    Route("/workspaces/{id}/relationships/vars", update_all, methods=["PATCH"]),
    Route("/vars", index_everywhere),
    Route("/vars", create_anywhere, methods=["POST"]),
    Route("/vars/{variable}", update, methods=["PATCH"]),
    Route("/vars/{variable}", delete, methods=["DELETE"]),
    Route(_OF_SET, of_set),
    Route(_OF_SET + "/{variable}", show_of_set),
]

"""Tags of a workspace, as flat names and as bindings of keys to values."""

from __future__ import annotations

import operator
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from app.errors import Invalid
from app.http.routing import Route
from app.workspaces import tags
from app.workspaces.models import Workspace
from backend_api import finding
from backend_api.authentication import actor_of
from backend_api.jsonapi import Attribute, Incoming, Page, Resource
from backend_api.resources.workspaces import WorkspaceResource


class TagResource(Resource):
    """A flat tag.  It has no row of its own but the binding of its key, whose id it carries."""

    type = "tags"

    name = Attribute(operator.attrgetter("key"), type=str, writable=True)
    created_at = Attribute()


class TagBindingResource(Resource):
    type = "tag-bindings"

    key = Attribute(type=str, writable=True)
    value = Attribute(type=str | None, writable=True)
    created_at = Attribute()


class EffectiveTagBindingResource(Resource):
    """What holds for the workspace: its own, since projects have none yet."""

    type = "effective-tag-bindings"

    key = Attribute()
    value = Attribute()


async def flat(request: Request) -> Response:
    """GET /workspaces/{id}/relationships/tags"""
    found = await tags.of(actor_of(request), await finding.workspace(request))
    return await TagResource.listed(request, found, Page(1, max(len(found), 1)), len(found))


async def add_flat(request: Request) -> Response:
    """POST /workspaces/{id}/relationships/tags"""
    workspace = await finding.workspace(request)
    names = await _names(request, workspace)
    await tags.add_flat(actor_of(request), workspace, names)
    return Response(status_code=204)


async def remove_flat(request: Request) -> Response:
    """DELETE /workspaces/{id}/relationships/tags"""
    workspace = await finding.workspace(request)
    names = await _names(request, workspace)
    await tags.remove(actor_of(request), workspace, names)
    return Response(status_code=204)


async def bindings(request: Request) -> Response:
    """GET /workspaces/{id}/tag-bindings"""
    found = await tags.of(actor_of(request), await finding.workspace(request))
    return await TagBindingResource.all(request, found)


async def add_bindings(request: Request) -> Response:
    """PATCH /workspaces/{id}/tag-bindings: adds to those there are"""
    workspace = await finding.workspace(request)
    sent = await TagBindingResource.read_list(request, required=["key"])
    await tags.add(actor_of(request), workspace, {_key(one): one.get("value") or "" for one in sent})
    return await TagBindingResource.all(request, await tags.of(actor_of(request), workspace))


async def effective_bindings(request: Request) -> Response:
    """GET /workspaces/{id}/effective-tag-bindings"""
    found = await tags.of(actor_of(request), await finding.workspace(request))
    return await EffectiveTagBindingResource.all(request, found)


def _key(sent: Incoming) -> str:
    key: str = sent.attributes["key"]
    return key


async def _names(request: Request, workspace: Workspace) -> list[str]:
    """The tags a request lists, by name or by the id of one the workspace has."""
    refs: Any = await WorkspaceResource.read_members(request, "tags")
    by_id = {tag.id: tag.key for tag in await tags.of(actor_of(request), workspace)}
    names = []
    for number, ref in enumerate(refs):
        name = ref.attributes.get("name") or by_id.get(ref.id)
        if name is None:
            raise Invalid(f"The workspace has no tag {str(ref.id)[:60]}.", field=f"/data/{number}/id")
        names.append(name)
    return names


routes = [
    Route("/workspaces/{id}/relationships/tags", flat),
    Route("/workspaces/{id}/relationships/tags", add_flat, methods=["POST"]),
    Route("/workspaces/{id}/relationships/tags", remove_flat, methods=["DELETE"]),
    Route("/workspaces/{id}/tag-bindings", bindings),
    Route("/workspaces/{id}/tag-bindings", add_bindings, methods=["PATCH"]),
    Route("/workspaces/{id}/effective-tag-bindings", effective_bindings),
]

"""Which workspaces may read a workspace's state."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from app.http.routing import Route
from app.workspaces import sharing
from backend_api import finding
from backend_api.authentication import actor_of
from backend_api.resources.workspaces import WorkspaceResource


async def index(request: Request) -> Response:
    """GET /workspaces/{id}/relationships/remote-state-consumers"""
    found = await sharing.consumers(actor_of(request), await finding.workspace(request))
    return await WorkspaceResource.page(request, found.order_by("name", "id").select_related("organization"))


async def add(request: Request) -> Response:
    """POST …/remote-state-consumers"""
    workspace = await finding.workspace(request)
    await sharing.add(actor_of(request), workspace, await _ids(request))
    return Response(status_code=204)


async def remove(request: Request) -> Response:
    """DELETE …/remote-state-consumers"""
    workspace = await finding.workspace(request)
    await sharing.remove(actor_of(request), workspace, await _ids(request))
    return Response(status_code=204)


async def replace(request: Request) -> Response:
    """PATCH …/remote-state-consumers"""
    workspace = await finding.workspace(request)
    await sharing.replace(actor_of(request), workspace, await _ids(request))
    return Response(status_code=204)


async def _ids(request: Request) -> list[str]:
    refs: Any = await WorkspaceResource.read_members(request, "remote_state_consumers")
    return [ref.id for ref in refs]


_PATH = "/workspaces/{id}/relationships/remote-state-consumers"

routes = [
    Route(_PATH, index),
    Route(_PATH, add, methods=["POST"]),
    Route(_PATH, remove, methods=["DELETE"]),
    Route(_PATH, replace, methods=["PATCH"]),
]

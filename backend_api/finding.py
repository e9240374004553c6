"""What a path names, if whoever asks may know of it."""

from __future__ import annotations

from starlette.requests import Request

from app import organizations, workspaces
from app.errors import Invalid
from app.organizations.models import Organization
from app.workspaces.models import Workspace
from backend_api.authentication import actor_of

NAMED = ("filter[organization][name]", "filter[workspace][name]")


async def organization(request: Request) -> Organization:
    """The one of ``/organizations/{organization}``."""
    return await organizations.find(actor_of(request), request.path_params["organization"])


async def workspace_asked(request: Request) -> Workspace | None:
    """The one a list's ``filter[organization][name]`` and ``filter[workspace][name]`` name; None without either."""
    organization, name = (request.query_params.get(parameter) for parameter in NAMED)
    if not organization and not name:
        return None
    if not organization or not name:
        raise Invalid(
            f"A workspace is named by {' and '.join(NAMED)} together.", parameter=NAMED[1] if organization else NAMED[0]
        )
    actor = actor_of(request)
    return await workspaces.find_by_name(actor, await organizations.find(actor, organization), name)


async def workspace(request: Request) -> Workspace:
    """The one of ``/workspaces/{id}``, or of ``/organizations/{organization}/workspaces/{name}``."""
    id = request.path_params.get("id")
    if id is not None:
        return await workspaces.find(actor_of(request), id)
    name = request.path_params["name"]
    return await workspaces.find_by_name(actor_of(request), await organization(request), name)

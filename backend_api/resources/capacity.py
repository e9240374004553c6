"""What an organization's jobs occupy, asked by terraform while its run waits."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from app.http.routing import Route
from app.runs import lists
from backend_api import finding
from backend_api.authentication import actor_of
from backend_api.jsonapi import Attribute, Resource


@dataclass(frozen=True)
class _Shown:
    id: str
    running: int
    pending: int


class CapacityResource(Resource):
    type = "organization-capacity"

    running = Attribute(type=int)
    pending = Attribute(type=int)


async def show(request: Request) -> Response:
    """GET /organizations/{organization}/capacity"""
    organization = await finding.organization(request)
    capacity = await lists.capacity_of(actor_of(request), organization)
    return await CapacityResource.one(request, _Shown(organization.name, capacity.running, capacity.pending))


routes = [Route("/organizations/{organization}/capacity", show)]

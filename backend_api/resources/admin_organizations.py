"""What those who administer the site set for an organization."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from app.http.routing import Route
from app.organizations import timeouts
from app.organizations.models import Organization
from backend_api.authentication import actor_of
from backend_api.jsonapi import Attribute, Resource


class AdminOrganizationResource(Resource, variant=True):
    type = "organizations"
    path = "/api/v2/admin/organizations/{id}"

    name = Attribute(type=str)
    plan_timeout = Attribute(
        lambda one: timeouts.text(one.plan_timeout_seconds),
        type=str | None,
        writable=True,
        doc="how long a plan may take, like `90m`; null: the site's setting",
    )
    apply_timeout = Attribute(
        lambda one: timeouts.text(one.apply_timeout_seconds),
        type=str | None,
        writable=True,
        doc="how long an apply may take, likewise",
    )

    @classmethod
    def identity(cls, thing: Organization) -> str:
        return thing.name


async def show(request: Request) -> Response:
    """GET /admin/organizations/{organization}"""
    return await AdminOrganizationResource.one(request, await _found(request))


async def update(request: Request) -> Response:
    """PATCH /admin/organizations/{organization}"""
    organization = await _found(request)
    sent = await AdminOrganizationResource.read(request)
    await timeouts.limit(actor_of(request), organization, **sent.attributes)
    return await AdminOrganizationResource.one(request, organization)


async def _found(request: Request) -> Organization:
    return await timeouts.find(actor_of(request), request.path_params["organization"])


routes = [
    Route("/admin/organizations/{organization}", show),
    Route("/admin/organizations/{organization}", update, methods=["PATCH"]),
]

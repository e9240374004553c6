"""Installations of the GitHub App, by which a workspace names the repository it follows."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from app.http.routing import Route
from app.vcs import installations
from backend_api.authentication import actor_of
from backend_api.jsonapi import Attribute, Resource


class InstallationResource(Resource):
    type = "github-app-installations"
    path = "/api/v2/github-app/installation/{id}"

    name = Attribute(lambda one: one.account_login, type=str)
    installation_id = Attribute(lambda one: one.number, type=int, doc="GitHub's")
    icon_url = Attribute(type=str)
    installation_type = Attribute(lambda one: one.account_type, type=str, doc="`User` or `Organization`")
    installation_url = Attribute(lambda one: one.html_url, type=str, doc="its settings at GitHub")


async def index(request: Request) -> Response:
    """GET /github-app/installations?filter[name]=…&filter[installation_id]=…"""
    found = await installations.visible(actor_of(request))
    given = request.query_params
    if name := given.get("filter[name]"):
        found = found.filter(account_login__iexact=name)
    if number := given.get("filter[installation_id]"):
        found = found.filter(number=int(number)) if _is_number(number) else found.filter(id=number)
    return await InstallationResource.page(request, found)


async def show(request: Request) -> Response:
    """GET /github-app/installation/{id}"""
    return await InstallationResource.one(
        request, await installations.find(actor_of(request), request.path_params["id"])
    )


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 19


routes = [
    Route("/github-app/installations", index),
    Route("/github-app/installation/{id}", show),
]

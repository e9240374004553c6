"""Versions of Terraform and OpenTofu, for those who administer the site."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from app import tool_versions
from app.errors import Invalid
from app.http.routing import Route
from app.tool_versions import Architecture
from app.tool_versions.models import ToolVersion
from backend_api.authentication import actor_of
from backend_api.jsonapi import Attribute, Resource, View
from backend_api.jsonapi.incoming import Incoming
from backend_api.ordering import order

_ORDERS = {"version": ["version"], "created-at": ["created_at"]}


class Arch(msgspec.Struct):
    url: str
    sha: str
    os: str = "linux"
    arch: str = "amd64"


async def _usage(view: View, things: Sequence[ToolVersion]) -> Mapping[str, Any]:
    return await tool_versions.usage(things)


def _usual(name: str) -> Any:
    """What the part for Linux on amd64 says, which older clients know as the only one."""

    def read(tool: ToolVersion) -> str | None:
        found = (one for one in tool.archs if (one["os"], one["arch"]) == ("linux", "amd64"))
        return next(found, {}).get(name)

    return read


class TerraformVersionResource(Resource):
    type = "terraform-versions"
    path = "/api/v2/admin/terraform-versions/{id}"

    version = Attribute(type=str, writable=True)
    engine = Attribute(type=str, writable=True, doc="terraform or opentofu; ours")
    url = Attribute(_usual("url"), type=str, writable=True, doc="a zip for Linux on amd64")
    sha = Attribute(_usual("sha"), type=str, writable=True, doc="its SHA-256")
    archs = Attribute(type=list[Arch], writable=True, doc="the same for any kind of machine: url, sha, os, arch")
    official = Attribute(type=bool)
    enabled = Attribute(type=bool, writable=True)
    beta = Attribute(type=bool, writable=True)
    deprecated = Attribute(type=bool, writable=True)
    deprecated_reason = Attribute(type=str | None, writable=True)
    usage = Attribute(loader=_usage, type=int, doc="how many workspaces name it")
    problem = Attribute(type=str | None, doc="why a worker could not install it; ours")
    created_at = Attribute()


async def index(request: Request) -> Response:
    """GET /admin/terraform-versions"""
    query = await tool_versions.visible(actor_of(request))
    wanted = request.query_params
    if version := wanted.get("filter[version]"):
        query = query.filter(version=version)
    if engine := wanted.get("filter[engine]"):
        query = query.filter(engine=engine)
    if text := wanted.get("search[version]"):
        query = query.filter(version__icontains=text)
    return await TerraformVersionResource.page(request, query.order_by(*order(request, _ORDERS, "-created-at")))


async def create(request: Request) -> Response:
    """POST /admin/terraform-versions"""
    actor = actor_of(request)
    await tool_versions.visible(actor)
    sent = await TerraformVersionResource.read(request, required=["version"])
    given = {name: value for name, value in sent.attributes.items() if name not in ("url", "sha", "archs")}
    tool = await tool_versions.create(actor, archs=_archs(sent, []), **given)
    return await TerraformVersionResource.one(request, tool, 201)


async def show(request: Request) -> Response:
    """GET /admin/terraform-versions/{id}"""
    return await TerraformVersionResource.one(request, await _found(request))


async def update(request: Request) -> Response:
    """PATCH /admin/terraform-versions/{id}"""
    tool = await _found(request)
    sent = await TerraformVersionResource.read(request)
    given = {name: value for name, value in sent.attributes.items() if name not in ("url", "sha", "archs")}
    if {"url", "sha", "archs"} & sent.attributes.keys() and not (tool.official and _is_as_read(sent, tool)):
        given["archs"] = _archs(sent, tool.archs)
    if given.get("version") == tool.version:
        del given["version"]
    if given.get("engine") == tool.engine:
        del given["engine"]
    return await TerraformVersionResource.one(request, await tool_versions.update(actor_of(request), tool, **given))


async def delete(request: Request) -> Response:
    """DELETE /admin/terraform-versions/{id}"""
    await tool_versions.delete(actor_of(request), await _found(request))
    return Response(status_code=204)


async def _found(request: Request) -> ToolVersion:
    return await tool_versions.find(actor_of(request), request.path_params["id"])


def _archs(sent: Incoming, before: Sequence[Mapping[str, str]]) -> list[Architecture]:
    """What is sent as `archs`, else what `url` and `sha` say of the part for Linux on amd64, the others kept."""
    if "archs" in sent:
        return [Architecture(one.url, one.sha, one.os, one.arch) for one in sent.attributes["archs"]]
    usual = next((one for one in before if (one["os"], one["arch"]) == ("linux", "amd64")), {})
    url, sha = sent.get("url", usual.get("url")), sent.get("sha", usual.get("sha"))
    if not url or not sha:
        missing = "sha" if url else "url"
        raise Invalid("A bundle needs the URL of a zip and its SHA-256.", field=missing)
    return [Architecture(url, sha), *(Architecture(**one) for one in before if one is not usual)]


def _is_as_read(sent: Incoming, tool: ToolVersion) -> bool:
    """Whether a client only sends back what it read of a release, which has no address of its own."""
    return not any(sent.get(name) for name in ("url", "sha", "archs"))


routes = [
    Route("/admin/terraform-versions", index),
    Route("/admin/terraform-versions", create, methods=["POST"]),
    Route("/admin/terraform-versions/{id}", show),
    Route("/admin/terraform-versions/{id}", update, methods=["PATCH"]),
    Route("/admin/terraform-versions/{id}", delete, methods=["DELETE"]),
]

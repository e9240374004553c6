"""API tokens of the user who asks.  The text of one is told when it is made, and never again."""

from __future__ import annotations

import operator
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from app import access
from app.access import tokens
from app.http.routing import Route
from backend_api.authentication import actor_of
from backend_api.jsonapi import Attribute, Page, Resource, ToOne


class TokenResource(Resource):
    type = "authentication-tokens"

    description = Attribute(type=str | None, writable=True)
    created_at = Attribute()
    last_used_at = Attribute()
    expired_at = Attribute(operator.attrgetter("expires_at"), type=datetime | None, writable=True)
    token = Attribute(lambda one: getattr(one, "text", None), type=str | None)

    created_by = ToOne("users", operator.attrgetter("user_id"))


async def index(request: Request) -> Response:
    """GET /users/{id}/authentication-tokens"""
    found = await tokens.of(actor_of(request), request.path_params["id"])
    page = Page(1, max(len(found), 1))
    return await TokenResource.listed(request, found, page, len(found))


async def create(request: Request) -> Response:
    """POST /users/{id}/authentication-tokens"""
    actor = actor_of(request)
    user = await access.show_user(actor, request.path_params["id"])
    sent = await TokenResource.read(request, may_be_empty=True)
    token, text = await tokens.create(actor, user, sent.get("description") or "", sent.get("expired_at"))
    shown: Any = token
    shown.text = text.reveal()
    return await TokenResource.one(request, shown, 201)


async def show(request: Request) -> Response:
    """GET /authentication-tokens/{id}"""
    return await TokenResource.one(request, await tokens.find(actor_of(request), request.path_params["id"]))


async def delete(request: Request) -> Response:
    """DELETE /authentication-tokens/{id}"""
    actor = actor_of(request)
    await tokens.revoke(actor, await tokens.find(actor, request.path_params["id"]))
    return Response(status_code=204)


routes = [
    Route("/users/{id}/authentication-tokens", index),
    Route("/users/{id}/authentication-tokens", create, methods=["POST"]),
    Route("/authentication-tokens/{id}", show),
    Route("/authentication-tokens/{id}", delete, methods=["DELETE"]),
]

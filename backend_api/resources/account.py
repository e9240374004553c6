"""Who asks, and the other users they may know of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from app import access, settings
from app.access.models import User
from app.http.routing import Route
from backend_api.authentication import actor_of
from backend_api.jsonapi import Attribute, Resource, ToMany, ToOne, View


def _permissions(view: View, things: Sequence[User]) -> Mapping[str, Any]:
    is_open = settings.current().organizations_open
    return {
        user.id: {
            "can_create_organizations": user.is_site_admin or is_open,
            "can_change_email": False,
            "can_change_username": False,
            "can_manage_user_tokens": user.id == view.actor.id,
        }
        for user in things
    }


class UserResource(Resource):
    """What others may see of a user."""

    type = "users"
    path = "/api/v2/users/{id}"

    username = Attribute(type=str)
    is_service_account = Attribute(lambda user: False)
    auth_method = Attribute(lambda user: "tfc")
    avatar_url = Attribute(lambda user: None)
    v2_only = Attribute(lambda user: True)
    permissions = Attribute(loader=_permissions, dashed_keys=True)

    authentication_tokens = ToMany("authentication-tokens", related="/api/v2/users/{id}/authentication-tokens")

    @classmethod
    async def load(cls, view: View, ids: Sequence[str]) -> Iterable[User]:
        return await access.visible_users(view.actor).filter(id__in=list(ids))


class AccountResource(UserResource, variant=True):
    """What a user sees of themselves."""

    email = Attribute(type=str | None)
    unconfirmed_email = Attribute(lambda user: None)
    is_site_admin = Attribute(type=bool)
    is_confirmed = Attribute(lambda user: True)
    two_factor = Attribute(lambda user: {"enabled": False, "verified": False})

    authenticated_resource = ToOne("users", lambda user: user)


async def details(request: Request) -> Response:
    """GET /account/details"""
    return await AccountResource.one(request, await access.account(actor_of(request)))


async def show(request: Request) -> Response:
    """GET /users/{id}"""
    return await UserResource.one(request, await access.show_user(actor_of(request), request.path_params["id"]))


routes = [Route("/account/details", details), Route("/users/{id}", show)]

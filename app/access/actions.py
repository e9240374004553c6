"""What can be done with users."""

from __future__ import annotations

import re

from tortoise.exceptions import IntegrityError
from tortoise.expressions import Q, Subquery
from tortoise.queryset import QuerySet

from app import clock, ids
from app.access.actors import Actor, Kind
from app.access.models import Membership, User
from app.access.permissions import require_on_site
from app.errors import Invalid, NotFound

_WELL_FORMED = re.compile(r"[A-Za-z0-9_.@+-]+")
_MOST = 90


async def create_user(actor: Actor, username: str, *, email: str | None = None, is_site_admin: bool = False) -> User:
    """Make a user, who signs in by a link first (`login_link`) and has no password until then."""
    await require_on_site(actor, "user:create")
    if not username or len(username) > _MOST or not _WELL_FORMED.fullmatch(username):
        raise Invalid(
            f"A user name has 1 to {_MOST} characters: letters, digits, and any of _ . @ + -",
            field="username",
        )
    if email is not None and (len(email) > 254 or "@" not in email):
        raise Invalid("The e-mail address is not one: NAME@HOST, at most 254 characters.", field="email")
    taken = Invalid(f"There is a user {username} already.", field="username")
    if await User.filter(username=username).exists():
        raise taken
    try:
        return await User.create(
            id=ids.new("user"),
            username=username,
            email=email,
            is_site_admin=is_site_admin,
            created_at=clock.now(),
        )
    except IntegrityError as error:
        raise taken from error


async def find_user(username: str) -> User:
    """By name, for who administers the installation."""
    user = await User.get_or_none(username=username)
    if user is None:
        raise NotFound(f"There is no user {username}.")
    return user


async def account(actor: Actor) -> User:
    """The user who acts."""
    user = await User.get_or_none(id=actor.id) if actor.id is not None else None
    if user is None:
        raise NotFound("Who asks is no user: this token has no account.")
    return user


def visible_users(actor: Actor) -> QuerySet[User]:
    """The users *actor* may know of: itself, and those it shares an organization with."""
    if actor.kind is Kind.SYSTEM:
        return User.all()
    shared = Membership.filter(organization_id__in=list(actor.organization_ids)).values("user_id")
    return User.filter(Q(id=actor.id or "") | Q(id__in=Subquery(shared)))


async def show_user(actor: Actor, user_id: str) -> User:
    user = await visible_users(actor).get_or_none(id=user_id)
    if user is None:
        raise NotFound("There is no such user, or you may not see them.")
    return user

"""Signed-in browsers, and the one-time links that sign somebody in."""

from __future__ import annotations

import secrets
from datetime import timedelta

from app import clock, ids, settings
from app.access.actors import Actor, Kind
from app.access.models import LoginLink, Session, User
from app.access.permissions import require_on_site
from app.errors import NotFound
from app.secret import Secret
from app.storage import crypto


async def start(user: User, user_agent: str = "") -> tuple[Session, Secret[str]]:
    """Sign *user* in.  The second is what the browser's cookie holds; only its digest is kept."""
    cookie = Secret(secrets.token_urlsafe(32))
    now = clock.now()
    session = await Session.create(
        id=ids.new("session"),
        user_id=user.id,
        digest=crypto.digest(cookie.reveal()),
        form_token=secrets.token_urlsafe(32),
        user_agent=user_agent[:255],
        created_at=now,
        expires_at=now + _life(),
    )
    return session, cookie


async def find(cookie: str) -> Session | None:
    """The session behind *cookie*, its user loaded; None if it ended.  Using a session keeps it alive."""
    session = await Session.filter(digest__in=crypto.digests(cookie)).select_related("user").first()
    now = clock.now()
    if session is None or session.expires_at <= now:
        return None
    renewed = now + _life()
    if renewed - session.expires_at > _life() / 20:
        await Session.filter(id=session.id).update(expires_at=renewed)
        session.expires_at = renewed
    return session


async def holds(session_id: str) -> bool:
    """Whether that session still lives.  Asking does not keep it alive."""
    return await Session.filter(id=session_id, expires_at__gt=clock.now()).exists()


async def of(actor: Actor) -> list[Session]:
    """Where *actor* is signed in, the newest first."""
    return await Session.filter(user_id=actor.id, expires_at__gt=clock.now()).order_by("-created_at", "id")


async def end(actor: Actor, session_id: str) -> None:
    """Sign one browser of *actor* out."""
    if not await Session.filter(id=session_id, user_id=actor.id).delete():
        raise NotFound("There is no such session, or it is not yours.")


async def login_link(actor: Actor, user: User) -> Secret[str]:
    """The secret part of a link that signs *user* in once, within the hour (a setting)."""
    if actor.kind is not Kind.USER or actor.id != user.id:
        await require_on_site(actor, "user:create")
    text = Secret(secrets.token_urlsafe(32))
    now = clock.now()
    await LoginLink.create(
        id=ids.new("login"),
        user_id=user.id,
        digest=crypto.digest(text.reveal()),
        created_at=now,
        expires_at=now + timedelta(seconds=settings.current().login_link_life),
    )
    return text


async def is_open(link: str) -> bool:
    """Whether *link* would still sign somebody in.  Asking does not use it up."""
    return await LoginLink.filter(digest__in=crypto.digests(link), used_at=None, expires_at__gt=clock.now()).exists()


async def redeem(link: str) -> User:
    """Use *link* up: who comes second, or too late, is refused."""
    now = clock.now()
    link_rows = LoginLink.filter(digest__in=crypto.digests(link))
    if not await link_rows.filter(used_at=None, expires_at__gt=now).update(used_at=now):
        raise NotFound(
            "This login link was used already or has expired. Make another one with: stateroom user login-link"
        )
    row = await link_rows.select_related("user").get()
    return row.user


def _life() -> timedelta:
    return timedelta(seconds=settings.current().session_life)

"""Signing in and out, by password or by a link that works once, and setting a password."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from app import access
from app.access import passwords, sessions
from app.access.models import User
from app.errors import Forbidden, Invalid, NotFound, Unauthenticated
from app.http.routing import Route
from app.secret import Secret
from app.web import visitors
from app.web.answers import page, to


async def home(request: Request) -> Response:
    """GET /"""
    return to("/app")


async def login(request: Request) -> Response:
    """GET /login"""
    wanted = visitors.safe_next(request.query_params.get("next"))
    if await visitors.visitor_of(request) is not None:
        return to(wanted)
    return page(request, "account/login.html", next=wanted, username="", refusal=None)


async def sign_in(request: Request) -> Response:
    """POST /login"""
    sent = await visitors.form(request)
    wanted, username = visitors.safe_next(sent.get("next")), sent.get("username", "")
    try:
        user = await passwords.sign_in(username, Secret(sent.get("password", "")))
    except Unauthenticated as error:
        return page(request, "account/login.html", 401, next=wanted, username=username, refusal=error.sentence)
    return await _welcome(request, user, wanted)


async def once(request: Request) -> Response:
    """GET /login/once/{token}: asks first, so that whoever previews links does not use this one up."""
    token = request.path_params["token"]
    if not await sessions.is_open(token):
        raise NotFound(
            "This login link was used already or has expired. Make another one with: stateroom user login-link"
        )
    return page(request, "account/once.html", action=f"/login/once/{token}")


async def redeem(request: Request) -> Response:
    """POST /login/once/{token}"""
    user = await sessions.redeem(request.path_params["token"])
    return await _welcome(request, user, "/app" if user.password_hash else "/app/settings/password")


async def ask_logout(request: Request) -> Response:
    """GET /logout"""
    return page(
        request,
        "ask.html",
        question="Sign out?",
        sentences=[],
        action="/logout",
        comment=None,
        button="Sign out",
        button_class="btn-main",
        back="/app",
        back_label="Stay signed in",
    )


async def logout(request: Request) -> Response:
    """POST /logout"""
    visitor = visitors.visitor(request)
    await sessions.end(visitor.actor, visitor.session.id)
    return visitors.forget(to("/login"))


async def ask_password(request: Request) -> Response:
    """GET /app/settings/password"""
    return await _ask_password(request)


async def set_password(request: Request) -> Response:
    """POST /app/settings/password"""
    sent = await visitors.form(request)
    actor = visitors.actor(request)
    try:
        await passwords.set_password(actor, await access.account(actor), Secret(sent.get("password", "")))
    except (Invalid, Forbidden) as error:
        return await _ask_password(request, 422, error.sentence)
    return to("/app")


async def _ask_password(request: Request, status: int = 200, refusal: str | None = None) -> Response:
    user = await access.account(visitors.actor(request))
    return page(
        request,
        "account/password.html",
        status,
        has_one=user.password_hash is not None,
        least=passwords.LEAST_LENGTH,
        refusal=refusal,
    )


async def _welcome(request: Request, user: User, wanted: str) -> Response:
    """*user* in a new session; one that this browser had before is over."""
    before = await visitors.visitor_of(request)
    if before is not None:
        await sessions.end(before.actor, before.session.id)
    _, cookie = await sessions.start(user, request.headers.get("user-agent", ""))
    return visitors.remember(to(wanted), cookie)


routes = [
    Route("/", visitors.open_to_all(home)),
    Route("/login", visitors.open_to_all(login)),
    Route("/login", visitors.open_to_all(sign_in), ["POST"]),
    Route("/login/once/{token}", visitors.open_to_all(once)),
    Route("/login/once/{token}", visitors.open_to_all(redeem), ["POST"]),
    Route("/logout", visitors.signed_in(ask_logout)),
    Route("/logout", visitors.signed_in(logout), ["POST"]),
    Route("/app/settings/password", visitors.signed_in(ask_password)),
    Route("/app/settings/password", visitors.signed_in(set_password), ["POST"]),
]

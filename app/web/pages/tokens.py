"""One's own API tokens."""

from __future__ import annotations

from datetime import datetime, timedelta

from starlette.requests import Request
from starlette.responses import Response

from app import access, clock, links
from app.access import tokens
from app.errors import Invalid
from app.http.routing import Route
from app.secret import Secret
from app.web import visitors
from app.web.answers import page, to

MOST_DAYS = 3650


async def index(request: Request) -> Response:
    """GET /app/settings/tokens"""
    return await _index(request)


async def create(request: Request) -> Response:
    """POST /app/settings/tokens: the answer shows the token, and nothing else ever does."""
    sent = await visitors.form(request)
    actor = visitors.actor(request)
    try:
        _, text = await tokens.create(
            actor, await access.account(actor), sent.get("description", ""), _expiry(sent.get("days", ""))
        )
    except Invalid as error:
        return await _index(request, 422, refusal=error.sentence)
    return await _index(request, made=text)


async def ask_revoke(request: Request) -> Response:
    """GET /app/settings/tokens/{token}/revoke"""
    token = await tokens.find(visitors.actor(request), request.path_params["token"])
    return page(
        request,
        "ask.html",
        question=f"Revoke the token ‘{token.description or token.prefix}’?",
        sentences=["Whatever uses it is refused from then on."],
        action=f"{links.TOKENS}/{token.id}/revoke",
        comment=None,
        button="Revoke token",
        button_class="btn-danger",
        back=links.TOKENS,
        back_label="Keep it",
    )


async def revoke(request: Request) -> Response:
    """POST /app/settings/tokens/{token}/revoke"""
    actor = visitors.actor(request)
    await tokens.revoke(actor, await tokens.find(actor, request.path_params["token"]))
    return to(links.TOKENS)


async def _index(
    request: Request, status: int = 200, *, made: Secret[str] | None = None, refusal: str | None = None
) -> Response:
    actor = visitors.actor(request)
    return page(
        request,
        "account/tokens.html",
        status,
        tokens=await tokens.of(actor, actor.id or ""),
        made=made.reveal() if made else None,
        refusal=refusal,
        now=clock.now(),
    )


def _expiry(days: str) -> datetime | None:
    """The end of that many days from now; never, if none are said."""
    if not days:
        return None
    if not (days.isascii() and days.isdigit() and 0 < int(days[:6]) <= MOST_DAYS):
        raise Invalid(f"A token expires after 1 to {MOST_DAYS} days, or never.", field="days")
    return clock.now() + timedelta(days=int(days))


routes = [
    Route(links.TOKENS, visitors.signed_in(index)),
    Route(links.TOKENS, visitors.signed_in(create), ["POST"]),
    Route(links.TOKENS + "/{token}/revoke", visitors.signed_in(ask_revoke)),
    Route(links.TOKENS + "/{token}/revoke", visitors.signed_in(revoke), ["POST"]),
]

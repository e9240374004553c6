"""What GitHub told, as a site admin sees it: what came, what became of it, and once more."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from app import links
from app.errors import Conflict
from app.http.routing import Route
from app.vcs.models import Repository
from app.web import visitors
from app.web.answers import page, to
from github_app import apps, inbox, redaction, replay
from github_app.models import Delivery, DeliveryLook
from github_app.payloads import EVENTS

PAGE = 50
ONE = f"{links.GITHUB_DELIVERIES}/{{delivery}}"
TONES = {
    inbox.RECEIVED: {"tone": "wait", "icon": "pending", "label": "waiting"},
    inbox.DONE: {"tone": "ok", "icon": "applied", "label": "done"},
    inbox.IGNORED: {"tone": "idle", "icon": "canceled", "label": "ignored"},
    inbox.FAILED: {"tone": "bad", "icon": "errored", "label": "failed"},
}


async def index(request: Request) -> Response:
    """GET /app/settings/vcs/github/deliveries"""
    actor, query = visitors.actor(request), request.query_params
    state = query.get("state", "") if query.get("state") in replay.STATES else ""
    event, before = query.get("event", "").strip(), query.get("before", "")
    found = await replay.visible(actor, state=state, event=event, before=before, most=PAGE + 1)
    listed, chosen = found[:PAGE], {"state": state, "event": event}
    older = {**chosen, "before": listed[-1].id} if len(found) > PAGE else None
    known = await apps.visible(actor)
    return page(
        request,
        "github_app/deliveries.html",
        deliveries=listed,
        badges=TONES,
        names=await _names(listed),
        states=[(one, _address({"state": one, "event": event})) for one in ("", *replay.STATES)],
        chosen=chosen,
        before=before,
        events=sorted(EVENTS),
        older=_address(older) if older else None,
        refusal=replay.refusal,
        webhook_urls=[apps.webhook_url(app) for app in known],
        unreached=await DeliveryLook.filter(unreached_at__not_isnull=True).prefetch_related("app"),
    )


async def show(request: Request) -> Response:
    """GET /app/settings/vcs/github/deliveries/{delivery}"""
    return await _show(request, await _find(request))


async def again(request: Request) -> Response:
    """POST /app/settings/vcs/github/deliveries/{delivery}/replay"""
    delivery = await _find(request)
    try:
        await replay.replay(visitors.actor(request), delivery)
    except Conflict as conflict:
        return await _show(request, delivery, 409, conflict.sentence)
    return to(links.github_delivery(delivery.id))


async def _show(request: Request, delivery: Delivery, status: int = 200, refusal: str | None = None) -> Response:
    return page(
        request,
        "github_app/delivery.html",
        status,
        delivery=delivery,
        badges=TONES,
        names=await _names([delivery]),
        told=redaction.shown(await inbox.body_of(delivery)),
        bars=replay.refusal(delivery),
        refusal=refusal,
    )


async def _find(request: Request) -> Delivery:
    return await replay.shown(visitors.actor(request), request.path_params["delivery"])


async def _names(deliveries: Sequence[Delivery]) -> dict[tuple[str, int], str]:
    """What the repositories are called that we know, by app and GitHub's number."""
    numbers = {one.repository_id for one in deliveries if one.repository_id is not None}
    known = await Repository.filter(number__in=list(numbers)) if numbers else []
    return {(one.app_id, one.number): one.full_name for one in known}


def _address(asked: dict[str, str]) -> str:
    query = urlencode({name: value for name, value in asked.items() if value})
    return f"{links.GITHUB_DELIVERIES}?{query}" if query else links.GITHUB_DELIVERIES


routes = [
    Route(links.GITHUB_DELIVERIES, visitors.signed_in(index)),
    Route(ONE, visitors.signed_in(show)),
    Route(f"{ONE}/replay", visitors.signed_in(again), ["POST"]),
]

"""The apps we are on GitHub, as a site admin sees them, and the webhook secret of each."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from app import links, organizations
from app.access.actors import SYSTEM
from app.access.permissions import require_on_site
from app.errors import Invalid
from app.http.routing import Route
from app.secret import Secret
from app.vcs.models import Installation
from app.web import visitors
from app.web.answers import page, to
from github_app import apps, at_github
from github_app.apps import Secrets
from github_app.client import Refused, Unreachable
from github_app.models import GitHubApp

EXISTING = f"{links.GITHUB_APPS}/existing"
ONE = f"{links.GITHUB_APPS}/{{app}}"
#: What the form of an existing app begins with.  A secret that was sent is never filled in again.
EMPTY = {"web_url": apps.GITHUB, "app_id": "", "client_id": "", "slug": ""}
#: Organizations that the form proposes.
MOST_PROPOSED = 500
_NUMBER = re.compile(r"[0-9]{1,19}", re.ASCII)


async def index(request: Request) -> Response:
    """GET /app/settings/vcs/github"""
    known = await apps.visible(visitors.actor(request))
    installed = await _installations(known)
    return page(request, "github_app/apps.html", apps=known, installed=installed)


async def ask_existing(request: Request) -> Response:
    """GET /app/settings/vcs/github/existing"""
    await require_on_site(visitors.actor(request), "github-app:create")
    return page(request, "github_app/existing.html", form=EMPTY, problem=None)


async def register_existing(request: Request) -> Response:
    """POST /app/settings/vcs/github/existing"""
    actor, sent = visitors.actor(request), await visitors.form(request)
    form = {name: sent.get(name, "").strip() for name in EMPTY}
    number = int(form["app_id"]) if _NUMBER.fullmatch(form["app_id"]) else 0
    client_secret = sent.get("client_secret", "").strip()
    secrets = Secrets(
        private_key=Secret(sent.get("private_key", "")),
        webhook=Secret(sent.get("webhook_secret", "").strip()),
        client=Secret(client_secret) if client_secret else None,
    )
    try:
        made = await apps.register(
            actor,
            app_id=number,
            secrets=secrets,
            web_url=form["web_url"],
            client_id=form["client_id"],
            slug=form["slug"],
        )
    except Invalid as problem:
        return page(request, "github_app/existing.html", 422, form=form, problem=problem)
    return to(f"{links.github_app(made.id)}/checkup")  # whether GitHub takes the key, and what it calls the app


async def show(request: Request) -> Response:
    """GET /app/settings/vcs/github/{app}"""
    return await _show(request, await _find(request))


async def change_webhook_secret(request: Request) -> Response:
    """POST /app/settings/vcs/github/{app}/webhook-secret"""
    app, sent = await _find(request), await visitors.form(request)
    try:
        await apps.change_webhook_secret(visitors.actor(request), app, Secret(sent.get("webhook_secret", "").strip()))
    except Invalid as problem:
        return await _show(request, app, 422, problem)
    return to(links.github_app(app.id))


async def renew_webhook_secret(request: Request) -> Response:
    """POST /app/settings/vcs/github/{app}/webhook-secret/renew: a secret of our making, told GitHub at once."""
    app, actor = await _find(request), visitors.actor(request)
    if app.is_secret_told:
        await apps.renew_webhook_secret(actor, app)
    try:
        await at_github.tell_webhook_secret(actor, app)
    except (Refused, Unreachable) as error:
        return await _show(request, app, 502, refusal=error.sentence)
    return to(links.github_app(app.id))


async def change_private_key(request: Request) -> Response:
    """POST /app/settings/vcs/github/{app}/private-key"""
    app, sent = await _find(request), await visitors.form(request)
    try:
        await at_github.change_private_key(visitors.actor(request), app, Secret(sent.get("private_key", "")))
    except Invalid as problem:
        return await _show(request, app, 422, problem)
    return to(f"{links.github_app(app.id)}/checkup")


async def change_client_secret(request: Request) -> Response:
    """POST /app/settings/vcs/github/{app}/client-secret"""
    app, sent = await _find(request), await visitors.form(request)
    secret = Secret(sent.get("client_secret", "").strip())
    try:
        await apps.change_client_secret(visitors.actor(request), app, secret)
    except Invalid as problem:
        return await _show(request, app, 422, problem)
    return to(links.github_app(app.id))


async def ask_to_forget(request: Request) -> Response:
    """GET /app/settings/vcs/github/{app}/webhook-secret/forget"""
    app = await _find(request)
    return page(
        request,
        "ask.html",
        question="Take no more deliveries that the old webhook secret signs?",
        sentences=["Do this once GitHub has the new one: what it signs with the old one is refused from then on."],
        action=f"{links.github_app(app.id)}/webhook-secret/forget",
        comment="none",
        button="Forget the old secret",
        button_class="btn-danger",
        back=links.github_app(app.id),
        back_label="Keep both for now",
    )


async def forget(request: Request) -> Response:
    """POST /app/settings/vcs/github/{app}/webhook-secret/forget"""
    app = await _find(request)
    await apps.forget_old_webhook_secret(visitors.actor(request), app)
    return to(links.github_app(app.id))


async def _show(
    request: Request,
    app: GitHubApp,
    status: int = 200,
    problem: Invalid | None = None,
    refusal: str | None = None,
) -> Response:
    installed = (await _installations([app])).get(app.id, [])
    return page(
        request,
        "github_app/app.html",
        status,
        app=app,
        webhook_url=apps.webhook_url(app),
        installations=installed,
        settings_url=f"{apps.settings_url(app.web_url, app.owner)}/{quote(app.slug)}" if app.html_url else None,
        install_url=f"{app.html_url}/installations/new?state={app.id}" if app.html_url else None,
        organizations=await _organization_names() if installed else [],
        problem=problem,
        refusal=refusal,
    )


async def _find(request: Request) -> GitHubApp:
    return await apps.shown(visitors.actor(request), request.path_params["app"])


async def _organization_names() -> list[str]:
    names = organizations.visible(SYSTEM).order_by("name").limit(MOST_PROPOSED)
    return [str(name) for name in await names.values_list("name", flat=True)]


async def _installations(known: Sequence[GitHubApp]) -> dict[str, list[Installation]]:
    """Those that are there, by the app's id of ours, each with the links to organizations."""
    found: dict[str, list[Installation]] = {}
    there = Installation.filter(app_id__in=[app.id for app in known], deleted_at=None)
    for one in await there.order_by("account_login", "id").prefetch_related("links__organization"):
        found.setdefault(one.app_id, []).append(one)
    return found


routes = [
    Route(links.GITHUB_APPS, visitors.signed_in(index)),
    Route(EXISTING, visitors.signed_in(ask_existing)),
    Route(EXISTING, visitors.signed_in(register_existing), ["POST"]),
    Route(ONE, visitors.signed_in(show)),
    Route(f"{ONE}/webhook-secret", visitors.signed_in(change_webhook_secret), ["POST"]),
    Route(f"{ONE}/webhook-secret/renew", visitors.signed_in(renew_webhook_secret), ["POST"]),
    Route(f"{ONE}/private-key", visitors.signed_in(change_private_key), ["POST"]),
    Route(f"{ONE}/client-secret", visitors.signed_in(change_client_secret), ["POST"]),
    Route(f"{ONE}/webhook-secret/forget", visitors.signed_in(ask_to_forget)),
    Route(f"{ONE}/webhook-secret/forget", visitors.signed_in(forget), ["POST"]),
]

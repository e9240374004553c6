"""Where an app is installed: the way back from GitHub, and which organizations of ours may use it.

What that address says is not believed: anybody can open it with another's number.  A site admin decides here; everybody
else proves at GitHub that they see the installation.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable
from typing import TypeVar

from starlette.requests import Request
from starlette.responses import Response

from app import links, organizations
from app.access.actors import SYSTEM
from app.access.permissions import require_on_site
from app.errors import Conflict, NotFound
from app.http.routing import Route
from app.vcs.models import Installation, InstallationLink
from app.web import visitors
from app.web.answers import page, to
from github_app import apps, installations, linking
from github_app.client import Refused
from github_app.models import GitHubApp

ONE = f"{links.GITHUB_APPS}/{{app}}"
EVERYONE = {"yes": True, "no": False, "": None}
Told = TypeVar("Told")
_NUMBER = re.compile(r"[0-9]{1,18}", re.ASCII)


async def setup(request: Request) -> Response:
    """GET /app/settings/vcs/github/setup: where GitHub sends whoever has installed an app, or asked an owner to."""
    actor, told = visitors.actor(request), request.query_params
    if told.get("setup_action") == "request":
        return page(request, "github_app/requested.html")
    number = told.get("installation_id", "")
    app = await _app(told.get("state", ""))
    if app is None or not _NUMBER.fullmatch(number):
        return to(links.GITHUB_APPS if actor.is_site_admin else links.GITHUB_ACCOUNTS)
    if not actor.is_site_admin:
        own = await organizations.visible(actor).order_by("name")
        return page(
            request,
            "github_app/prove.html",
            app=app,
            number=number,
            organizations=own,
            host=app.web_url.partition("://")[2],
        )
    if await _asked(installations.look(app, int(number))) is None:
        raise NotFound(f"GitHub knows no installation {number} of this app.")
    return to(f"{links.github_app(app.id)}#inst-h")


async def refresh(request: Request) -> Response:
    """POST /app/settings/vcs/github/{app}/refresh: ask GitHub where it is installed, now."""
    app = await _find(request)
    await _asked(installations.refresh(app))
    return to(f"{links.github_app(app.id)}#inst-h")


async def link(request: Request) -> Response:
    """POST /app/settings/vcs/github/{app}/installations/{installation}/link"""
    actor, app, sent = visitors.actor(request), await _find(request), await visitors.form(request)
    await require_on_site(actor, "github-app:link")
    installation = await Installation.get_or_none(app_id=app.id, id=request.path_params["installation"])
    if installation is None:
        raise NotFound("There is no such installation.")
    organization = await organizations.find(SYSTEM, sent.get("organization", "").strip())
    await linking.link(actor, installation, organization)
    return to(f"{links.github_app(app.id)}#inst-h")


async def let_everyone(request: Request) -> Response:
    """POST /app/settings/vcs/github/{app}/links/{link}: whether members connect what they cannot read themselves."""
    app, sent, told = await _find(request), await visitors.form(request), request.path_params["link"]
    number = int(told) if len(told) < 10 and _NUMBER.fullmatch(told) else 0
    found = await InstallationLink.get_or_none(id=number, installation__app_id=app.id)
    if found is None:
        raise NotFound("There is no such link.")
    await linking.let_everyone(visitors.actor(request), found, EVERYONE.get(sent.get("everyone", "")))
    return to(f"{links.github_app(app.id)}#inst-h")


async def _asked(call: Awaitable[Told]) -> Told:
    """What GitHub answered; its refusals as one of ours."""
    try:
        return await call
    except Refused as error:
        raise Conflict(error.sentence) from error


async def _app(state: str) -> GitHubApp | None:
    """The one that our button named; without a name, as when it was installed from GitHub's side, the only one."""
    known = await GitHubApp.filter(id=state).limit(2) if state else await GitHubApp.all().limit(2)
    return known[0] if len(known) == 1 else None


async def _find(request: Request) -> GitHubApp:
    return await apps.shown(visitors.actor(request), request.path_params["app"])


routes = [
    Route(links.GITHUB_SETUP, visitors.signed_in(setup)),
    Route(f"{ONE}/refresh", visitors.signed_in(refresh), ["POST"]),
    Route(f"{ONE}/installations/{{installation}}/link", visitors.signed_in(link), ["POST"]),
    Route(f"{ONE}/links/{{link}}", visitors.signed_in(let_everyone), ["POST"]),
]

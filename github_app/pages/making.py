"""Making a GitHub App: our form, the way to GitHub with a manifest, and the way back with a code."""

from __future__ import annotations

import json

from starlette.requests import Request
from starlette.responses import Response

from app import links, settings
from app.access.permissions import require_on_site
from app.errors import Invalid
from app.http.routing import Route
from app.web import answers, visitors
from app.web.answers import page, to
from github_app import apps, conversion, manifest, needs
from github_app.conversion import NotConverted
from github_app.manifest import NotBegun

NEW = f"{links.GITHUB_APPS}/new"
#: GitHub's codes are forty characters.
LONGEST_CODE = 200


async def ask(request: Request) -> Response:
    """GET /app/settings/vcs/github/new"""
    await require_on_site(visitors.actor(request), "github-app:create")
    form = {"web_url": apps.GITHUB, "owner": "", "name": manifest.default_name()}
    return _form(request, form)


async def begin(request: Request) -> Response:
    """POST /app/settings/vcs/github/new: what will be asked for, and the button that asks GitHub."""
    visitor, sent = visitors.visitor(request), await visitors.form(request)
    form = {name: sent.get(name, "").strip() for name in ("web_url", "owner", "name")}
    try:
        begun = await manifest.begin(visitor.actor, visitor.session, **form)
    except Invalid as problem:
        return _form(request, form, 422, problem)
    web_url = begun.setup.web_url
    older = None if apps.is_hosted(web_url) else json.dumps(manifest.without_merge_queues(begun.manifest))
    shown = page(
        request,
        "github_app/manifest.html",
        web_url=web_url,
        owner=form["owner"],
        address=begun.address,
        manifest=json.dumps(begun.manifest),
        older=older,
        permissions=needs.PERMISSIONS,
        events=needs.EVENTS,
        webhook_url=begun.manifest["hook_attributes"]["url"],
    )
    return answers.may_send_to(shown, web_url)


async def created(request: Request) -> Response:
    """GET /app/settings/vcs/github/created: where GitHub sends whoever made the app, with a code for its key."""
    visitor, told = visitors.visitor(request), request.query_params
    try:
        setup = await manifest.take_back(visitor.actor, visitor.session, told.get("state", ""))
    except NotBegun as error:
        return _failed(request, 409, error.sentence, f"{apps.GITHUB}/settings/apps")
    there = apps.settings_url(setup.web_url, setup.owner)
    code = told.get("code", "")
    if not 0 < len(code) <= LONGEST_CODE:
        return _failed(
            request, 422, "GitHub sent no code with you, so there is nothing to fetch the app's key by.", there
        )
    try:
        app = await conversion.convert(visitor.actor, setup, code)
    except NotConverted as error:
        return _failed(request, 502, error.sentence, there)
    return to(links.github_app(app.id))


def _form(request: Request, form: dict[str, str], status: int = 200, problem: Invalid | None = None) -> Response:
    return page(
        request,
        "github_app/new.html",
        status,
        form=form,
        problem=problem,
        unreachable=manifest.unreachable(),
        longest_name=manifest.LONGEST_NAME,
        webhook_host=settings.current().webhook_url,
    )


def _failed(request: Request, status: int, sentence: str, there: str) -> Response:
    return page(request, "github_app/not_made.html", status, sentence=sentence, there=there, again=NEW)


routes = [
    Route(NEW, visitors.signed_in(ask)),
    Route(NEW, visitors.signed_in(begin), ["POST"]),
    Route(manifest.CREATED, visitors.signed_in(created)),
]

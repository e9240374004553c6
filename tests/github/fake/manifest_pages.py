"""The pages at which a browser makes an app of a manifest: one that shows it, and one that sends back with a code."""

from __future__ import annotations

import json
import re
import secrets
from html import escape
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from tests.github.fake.world import GitHub

#: What the documentation of the manifest flow lists.
FIELDS = {
    "name", "url", "hook_attributes", "redirect_url", "callback_urls", "setup_url", "description", "public",
    "default_events", "default_permissions", "request_oauth_on_install", "setup_on_update",
}  # fmt: skip
_NEW = re.compile(r"/(?:organizations/([^/]+)/)?settings/apps/new")
MADE = "/settings/apps/manifest"


def is_one(path: str) -> bool:
    return path == MADE or _NEW.fullmatch(path) is not None


async def answer(github: GitHub, request: Request) -> Response:
    sent = await request.form()
    manifest = json.loads(str(sent["manifest"]))
    if problem := _problem(github, manifest):
        return HTMLResponse(f"<h1>Invalid GitHub App configuration</h1><p>{escape(problem)}</p>", 422)
    if request.url.path == MADE:
        return _made(github, manifest, str(sent["owner"]), str(sent["state"]))
    owner = _NEW.fullmatch(request.url.path)
    assert owner is not None
    hidden = {"manifest": str(sent["manifest"]), "owner": owner[1] or "", "state": request.query_params["state"]}
    fields = "".join(f'<input type="hidden" name="{name}" value="{escape(value)}">' for name, value in hidden.items())
    title = f"<h1>Create GitHub App {escape(manifest['name'])}</h1>"
    icon = '<link rel="icon" href="data:,">'
    return HTMLResponse(
        f'{icon}{title}<form method="post" action="{MADE}">{fields}<button>Create GitHub App</button></form>'
    )


def _problem(github: GitHub, manifest: dict[str, Any]) -> str | None:
    if unknown := set(manifest) - FIELDS:
        return f"The manifest has {', '.join(sorted(unknown))}, which is unknown"
    if not manifest.get("url") or not manifest["hook_attributes"].get("url") or len(manifest["name"]) > 34:
        return "The manifest lacks its name, url or webhook"
    told = {*manifest["default_permissions"], *manifest["default_events"]}
    if github.is_old and (unknown := told & {"merge_queues", "merge_group"}):
        return f"{', '.join(sorted(unknown))} is not a known permission or event"
    return None


def _made(github: GitHub, manifest: dict[str, Any], owner: str, state: str) -> Response:
    app = github.add_app(
        next(github.numbers),
        slug=re.sub(r"[^a-z0-9]+", "-", manifest["name"].lower()),
        webhook_url=manifest["hook_attributes"]["url"],
    )
    app.owner = github.account(owner) if owner else github.account("octocat", "User")
    app.permissions, app.events = manifest["default_permissions"], tuple(manifest["default_events"])
    app.webhook_secret = secrets.token_hex(20) if github.makes_webhook_secrets else ""
    code = secrets.token_hex(20)
    github.conversions[code] = app
    return RedirectResponse(f"{manifest['redirect_url']}?{urlencode({'code': code, 'state': state})}", 302)

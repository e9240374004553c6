"""Every route of GitHub's: where it delivers, and the pages about it."""

from __future__ import annotations

from app.http.routing import Route
from app.web import answers
from github_app import webhooks
from github_app.pages import accounts, apps, checkup, deliveries, installing, making

answers.share("github_app")

routes: list[Route] = [
    *webhooks.routes,
    *deliveries.routes,
    *accounts.routes,
    *making.routes,
    *installing.routes,
    *apps.routes,
    *checkup.routes,
]

"""Every route of GitHub's: where it delivers, and the pages about it."""

from __future__ import annotations

from app.http.routing import Route
from app.web import answers
from github_app import webhooks
from github_app.pages import apps, checkup, deliveries, making

answers.share("github_app")

routes: list[Route] = [
    *webhooks.routes,
    *deliveries.routes,
    *making.routes,
    *apps.routes,
    *checkup.routes,
]

"""What GitHub says of an app now: the lines that `stateroom doctor github` prints."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from app import links
from app.http.routing import Route
from app.web import visitors
from app.web.answers import page
from github_app import apps, examination


async def show(request: Request) -> Response:
    """GET /app/settings/vcs/github/{app}/checkup: it asks GitHub each time."""
    app = await apps.shown(visitors.actor(request), request.path_params["app"])
    findings = await examination.examine(app)
    return page(request, "github_app/checkup.html", app=app, findings=findings)


routes = [Route(f"{links.GITHUB_APPS}/{{app}}/checkup", visitors.signed_in(show))]

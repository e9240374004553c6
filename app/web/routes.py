"""Every route of the pages."""

from __future__ import annotations

from dataclasses import replace

from app.http.routing import Route
from app.web import static_files
from app.web.errors import answered
from app.web.pages import account, runs, tokens, version_control, workspaces

routes: list[Route] = [
    *account.routes,
    *tokens.routes,
    *workspaces.routes,
    *version_control.routes,
    *runs.routes,
    *(replace(route, endpoint=answered(route.endpoint)) for route in static_files.routes),
]

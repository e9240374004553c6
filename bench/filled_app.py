"""The product's web application with every route mounted, and more of them until there are 150."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from app import asgi, diagnostics, settings
from app.http.routing import Route
from app.settings import Settings

ROUTES = 150


def create_app() -> ASGIApp:
    mounted = asgi.routes

    def filled(current: Settings) -> Sequence[Route]:
        return fill(mounted(current))

    asgi.routes = filled  # type: ignore[assignment]
    current = settings.load()
    diagnostics.configure(current)  # as the web process does
    return asgi.create_app(current)


def fill(routes: Sequence[Route]) -> list[Route]:
    """*routes*, and beside them in the tree as many as are missing."""
    missing = range(ROUTES - len(routes))
    return [*routes, *(Route(f"/api/v2/bench-{number}/{{id}}/actions/fill", _nothing) for number in missing)]


async def _nothing(request: Request) -> Response:
    return Response(status_code=204)

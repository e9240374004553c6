"""The no-op whose headers clients read."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from app.http.routing import Route


async def ping(request: Request) -> Response:
    """GET /ping, and GET / of the oldest clients"""
    return Response(status_code=204)


routes = [Route("/ping", ping), Route("/", ping)]

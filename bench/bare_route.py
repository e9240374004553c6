"""The least that a web process with a database can do: one route, one indexed SELECT, one JSON answer.

The same engine, driver and database file as the product's, and none of its code above them: no
authentication, no middleware, no document.
"""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from app import settings
from app.storage import database


async def show(request: Request) -> Response:
    """GET /api/v2/runs/{id}"""
    mark = "$1" if database.dialect() == "postgres" else "?"
    statement = f"SELECT id, status, message FROM runs WHERE id = {mark}"
    rows = await database.client().execute_query_dict(statement, [request.path_params["id"]])
    return JSONResponse(dict(rows[0])) if rows else Response(status_code=404)


def create_app() -> Starlette:
    current = settings.load()
    return Starlette(routes=[Route("/api/v2/runs/{id}", show)], lifespan=lambda app: database.connected(current))

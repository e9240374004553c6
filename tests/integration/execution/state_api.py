"""The part of the API that a run's supervisor asks, over the real domain: tokens, states, signed links."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from app import states
from app.access import run_tokens
from app.access.actors import Actor
from app.errors import Conflict, Forbidden, NotFound, StateroomError, Unauthenticated
from app.states import NewState
from app.states.models import StateVersion
from app.workspaces.models import Workspace

#: What `/v1/object/held` is, once it is answered.
STATE = '{"version": 4, "terraform_version": "1.11.4", "serial": 1, "lineage": "held", "outputs": {}, "resources": []}'
LINKS = "http://stateroom.internal"
_STATUS = {NotFound: 404, Conflict: 409, Forbidden: 403, Unauthenticated: 401}


async def _actor(request: Request) -> Actor:
    return await run_tokens.authenticate(request.headers.get("authorization", "").removeprefix("Bearer "))


def _document(version: StateVersion) -> JSONResponse:
    link = f"{LINKS}/v1/object/{version.id}"
    pending = version.status == "pending"
    attributes = {"hosted-state-download-url": link, "hosted-state-upload-url": link if pending else None}
    return JSONResponse({"data": {"id": version.id, "type": "state-versions", "attributes": attributes}})


async def current(request: Request) -> Response:
    workspace = await Workspace.get(id=request.path_params["id"])
    return _document(await states.current(await _actor(request), workspace))


async def create(request: Request) -> Response:
    asked = json.loads(await request.body())["data"]["attributes"]
    new = NewState(asked["serial"], asked["md5"], asked["lineage"], intermediate=asked["intermediate"])
    workspace = await Workspace.get(id=request.path_params["id"])
    return _document(await states.create(await _actor(request), workspace, new))


async def show(request: Request) -> Response:
    await _actor(request)
    return JSONResponse({"data": {"id": request.path_params["id"], "type": "workspaces", "attributes": {}}})


#: While it is set, reads of `/v1/object/held` are not answered.
holding = asyncio.Event()


async def download(request: Request) -> Response:
    if request.path_params["id"] == "held":
        while holding.is_set() and not await request.is_disconnected():  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        return Response(STATE, media_type="application/json")
    version = await StateVersion.get(id=request.path_params["id"])
    return StreamingResponse(await states.content(version))


async def upload(request: Request) -> Response:
    await states.receive(request.path_params["id"], request.stream())
    return Response(status_code=200)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, StateroomError)
    status = _STATUS.get(type(error), 422)
    return JSONResponse({"errors": [{"status": str(status), "detail": error.sentence}]}, status)


class _Server(uvicorn.Server):
    def capture_signals(self):  # type: ignore[no-untyped-def]
        return nullcontext()


@asynccontextmanager
async def serving(listener: socket.socket) -> AsyncIterator[None]:
    routes = [
        Route("/api/v2/workspaces/{id}", show),
        Route("/api/v2/workspaces/{id}/current-state-version", current),
        Route("/api/v2/workspaces/{id}/state-versions", create, methods=["POST"]),
        Route("/v1/object/{id}", download),
        Route("/v1/object/{id}", upload, methods=["PUT"]),
    ]
    app = Starlette(routes=routes, exception_handlers={StateroomError: _refused})
    holding.clear()
    server = _Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield
    finally:
        server.should_exit = server.force_exit = True
        await task

"""The API that a run's supervisor asks, served beside the test, and one thing of it that a test can hold back."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext

import uvicorn
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from app.asgi import create_app, signing_key
from app.http import signed_urls
from app.settings import Settings
from app.storage import keys

#: What `HELD` is, once it is answered.
STATE = '{"version": 4, "terraform_version": "1.11.4", "serial": 1, "lineage": "held", "outputs": {}, "resources": []}'
#: A path a run may read without a token.
HELD = signed_urls.PATH + "held"
#: While it is set, reads of `HELD` are not answered.
holding = asyncio.Event()


class _Holding:
    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != HELD:
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        while holding.is_set() and not await request.is_disconnected():  # noqa: ASYNC110 (it asks both)
            await asyncio.sleep(0.05)
        await Response(STATE, media_type="application/json")(scope, receive, send)


class _Server(uvicorn.Server):
    def capture_signals(self):  # type: ignore[no-untyped-def]
        return nullcontext()


@asynccontextmanager
async def serving(settings: Settings, listener: socket.socket) -> AsyncIterator[None]:
    """Serve what the test has opened: the same database, objects and keys."""
    holding.clear()
    signed_urls.configure(signing_key(keys.current()))
    app = _Holding(create_app(settings))
    server = _Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield
    finally:
        server.should_exit = server.force_exit = True
        await task

"""A client that has a long body gets its answer, over a real socket."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

import pytest
import uvicorn
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from app.http.limits import Limits
from app.http.middleware import stack
from app.http.routing import Route, Router
from app.settings import Settings

MiB = 1024**2


async def read(request: Request) -> Response:
    return PlainTextResponse(str(len(await request.body())))


@asynccontextmanager
async def serving(http: Literal["h11", "httptools"]) -> AsyncIterator[int]:
    app = stack(
        Router([Route("/api/v2/read", read, ["POST"])]),
        Limits.of(Settings(data_dir=Path("/nowhere"))),
        rate=100,
    )
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off", http=http))
        task = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            yield listening.getsockname()[1]
        finally:
            server.should_exit = True
            await task


@pytest.mark.parametrize("http", ["httptools", "h11"])
@pytest.mark.parametrize("chunked", [False, True])
async def test_a_client_that_first_sends_all_of_50_mb_reads_the_413_afterwards(
    http: Literal["h11", "httptools"], chunked: bool
) -> None:
    async with asyncio.timeout(60), serving(http) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        length = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % (50 * MiB)
        writer.write(b"POST /api/v2/read HTTP/1.1\r\nHost: test\r\n" + length + b"\r\n\r\n")
        for _ in range(50):
            writer.write(b"100000\r\n" + b"x" * MiB + b"\r\n" if chunked else b"x" * MiB)
            await writer.drain()
        if chunked:
            writer.write(b"0\r\n\r\n")
            await writer.drain()
        head = await reader.readuntil(b"\r\n\r\n")
        writer.close()

    assert head.startswith(b"HTTP/1.1 413 ")

"""A keep-alive HTTP connection that costs its process next to nothing.

Fifty readers, or thousands of requests a second, have to fit beside the server on the same cores; a general
client would measure itself. One request at a time, bodies with a length or in chunks, no redirects.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self, cast
from urllib.parse import SplitResult, urlsplit

import httptools


@dataclass(frozen=True)
class Response:
    status: int
    body: bytes


class ConnectionLost(Exception):
    """The server closed the connection while an answer was due."""


class Connection(asyncio.Protocol):
    """One connection.  `get` may be called again once it has answered."""

    def __init__(self, host: str, headers: Mapping[str, str]) -> None:
        lines = [f"Host: {host}", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
        self._tail = b" HTTP/1.1\r\n" + "\r\n".join(lines).encode()
        self._parser = httptools.HttpResponseParser(self)
        self._body = bytearray()
        self._answer: asyncio.Future[Response] | None = None
        self._transport: asyncio.Transport | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._transport is not None:
            self._transport.abort()

    async def get(self, target: str) -> Response:
        """The answer to `GET target`, a path with its query."""
        if self._transport is None or self._transport.is_closing():
            raise ConnectionLost("the connection is closed")
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(b"GET " + target.encode() + self._tail)
        return await self._answer

    # -- asyncio's side --------------------------------------------------------------------------------------
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but its class

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionLost(f"closed before the answer was whole ({exc})"))

    # -- the parser's side -----------------------------------------------------------------------------------
    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        response = Response(self._parser.get_status_code(), bytes(self._body))
        self._body.clear()
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(response)


async def connect(url: str | SplitResult, headers: Mapping[str, str], ca: str | None = None) -> Connection:
    """A new connection to the server of *url*; *ca* is whom to trust where it speaks TLS."""
    parts = urlsplit(url) if isinstance(url, str) else url
    tls = ssl.create_default_context(cafile=ca) if parts.scheme == "https" else None
    _, protocol = await asyncio.get_running_loop().create_connection(
        lambda: Connection(parts.netloc, headers),
        "127.0.0.1" if parts.hostname == "localhost" else str(parts.hostname),
        parts.port or (443 if tls else 80),
        ssl=tls,
        server_hostname=parts.hostname if tls else None,
    )
    return protocol


def target(url: str) -> str:
    """What a request for *url* names: its path and query."""
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path

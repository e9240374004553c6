"""How to reach Valkey or Redis by its URL: over TCP, TLS, or a unix socket of any length."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from redis.asyncio import ConnectionPool
from redis.asyncio.connection import UnixDomainSocketConnection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

#: What any call may raise when the server is away, busy starting, or out of memory.
AWAY: tuple[type[Exception], ...] = (RedisError, OSError, TimeoutError, asyncio.TimeoutError)

#: Longest path the kernel takes for a unix socket.
LONGEST_PATH = 107


class UnixConnection(UnixDomainSocketConnection):
    """Connects to a socket whose path is too long by the number of an open directory."""

    async def _connect(self) -> None:
        path = self.path
        directory = None
        if len(os.fsencode(path)) > LONGEST_PATH:
            directory = os.open(os.path.dirname(path), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            path = f"/proc/self/fd/{directory}/{os.path.basename(path)}"
        try:
            async with asyncio.timeout(self.socket_connect_timeout):
                self._reader, self._writer = await asyncio.open_unix_connection(path)
        finally:
            if directory is not None:
                os.close(directory)
        await self.on_connect()


def check(url: str) -> None:
    """Raise ValueError, without the URL in it, if *url* is none that we know."""
    try:
        parse_url(url)
    except ValueError:
        raise ValueError("it must be redis://HOST:PORT/0, rediss://… or unix:///PATH") from None


def pool(url: str, **options: Any) -> ConnectionPool:
    """Connections to *url*, opened when needed.  One that breaks is replaced at once, once: the server may
    have restarted.  *options* go to each connection; ``socket_timeout=None`` is for those that wait for
    news."""
    settled: dict[str, Any] = {
        **parse_url(url),
        "socket_connect_timeout": 2,
        "socket_timeout": 5,
        "retry": Retry(NoBackoff(), 1),
        "retry_on_error": [ConnectionError],
        **options,
    }
    if settled.get("connection_class") is UnixDomainSocketConnection:
        settled["connection_class"] = UnixConnection
    return ConnectionPool(**settled)

"""Reading what a client sends, never more of it than a limit allows."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.types import Message, Receive, Scope

from app.http.limits import Limit


class Upload:
    """A request's body, chunk by chunk, measured and hashed on its way.

    Iterate it once.  Size and digests are those of what has come so far.  Raises `TooLarge` at the chunk
    that breaks the limit (before the first, if the length is announced), and Starlette's `ClientDisconnect`
    where the client went away in the middle: what came before an exception must not be kept.
    """

    def __init__(self, request: Request, limit: Limit) -> None:
        self.size = 0
        self._request = request
        self._limit = limit
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._sha256 = hashlib.sha256()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        check_announced(self._request.scope, self._limit)
        async for chunk in self._request.stream():
            if not chunk:
                continue
            self.size += len(chunk)
            if self.size > self._limit.most:
                raise self._limit.exceeded()
            self._md5.update(chunk)
            self._sha256.update(chunk)
            yield chunk

    @property
    def md5(self) -> str:
        return self._md5.hexdigest()

    @property
    def sha256(self) -> str:
        return self._sha256.hexdigest()


async def whole(request: Request, limit: Limit) -> bytes:
    """All of a small body at once."""
    return b"".join([chunk async for chunk in Upload(request, limit)])


def check_announced(scope: Scope, limit: Limit) -> None:
    """Raise `TooLarge` if the request says of itself that it is."""
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit() and int(value[:20]) > limit.most:
            raise limit.exceeded()


def bounded(receive: Receive, limit: Limit) -> Receive:
    """*receive* that raises `TooLarge` once more than *limit* has come."""
    size = 0

    async def receive_some() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > limit.most:
            raise limit.exceeded()
        return message

    return receive_some

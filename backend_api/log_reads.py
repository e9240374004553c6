"""A phase's log, read by its signed address and held open while there is nothing new.

The client asks for `limit` bytes from `offset`, frame bytes counted, and comes again at once; whatever goes wrong must
not be an error status, which would end the reader's run on its side: an answer without bytes means "not yet".
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from starlette.requests import Request
from starlette.responses import Response

from app import settings
from app.runs import logs

#: What a client gets that asks for no particular number of bytes, and the most anyone gets at once.
DEFAULT_LIMIT = 65_536
MOST = 1024 * 1024

_held: set[asyncio.Timeout] = set()


async def read(request: Request, phase_id: str) -> Response:
    """The bytes from `offset`: at once if there are any, when they come otherwise, none after a while."""
    offset = _number(request, "offset", 0)
    limit = min(_number(request, "limit", DEFAULT_LIMIT), MOST)
    body = b""
    with suppress(TimeoutError):
        async with asyncio.timeout(None) as held:
            _held.add(held)
            try:
                body = await logs.read(phase_id, offset, limit, hold=settings.current().log_hold)
            finally:
                _held.discard(held)
    # The length is said and nothing may be packed or kept on the way: lines would come late.
    headers = {"cache-control": "no-store, no-transform", "x-accel-buffering": "no"}
    return Response(body, media_type="text/plain; charset=utf-8", headers=headers)


def end_held() -> None:
    """Answer whoever is held now, without bytes: the process stops, and the client's next call meets another."""
    now = asyncio.get_running_loop().time()
    for held in _held:
        held.reschedule(now)


def _number(request: Request, name: str, default: int) -> int:
    """A number from the query; what is none, or makes no sense, is as if it had not been sent."""
    text = request.query_params.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else default

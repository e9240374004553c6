"""What lies behind signed addresses: archives and states on their way in and out.

The address is the right: no token is asked for, and one that comes along is not looked at.  A kind of address is a
row of `UPLOADS` or `DOWNLOADS`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from app import configurations, settings, states
from app.errors import NotFound
from app.http import signed_urls
from app.http.bodies import Upload
from app.http.limits import Limits
from app.http.routing import Route
from app.storage import objects
from app.storage.models import StoredObject
from backend_api import log_reads

CONFIGURATION_UPLOAD = "configuration-upload"
CONFIGURATION_DOWNLOAD = "configuration-download"
STATE_UPLOAD = "state-upload"
STATE_JSON_UPLOAD = "state-json-upload"
STATE_DOWNLOAD = "state-download"
STATE_JSON_DOWNLOAD = "state-json-download"
LOG = "log"

#: Answers the request for the thing of that id.
Handler = Callable[[Request, str], Awaitable[Response]]


async def upload(request: Request) -> Response:
    """PUT /v1/object/{token}"""
    return await _handle(request, UPLOADS)


async def download(request: Request) -> Response:
    """GET /v1/object/{token}"""
    return await _handle(request, DOWNLOADS)


async def receive_configuration(request: Request, id: str) -> Response:
    limit = Limits.of(settings.current()).archive
    await configurations.receive(id, Upload(request, limit))
    return Response(status_code=200)


async def send_configuration(request: Request, id: str) -> Response:
    return await streamed(await configurations.stored_archive(id), filename=f"{id}.tar.gz")


async def receive_state(request: Request, id: str) -> Response:
    await states.receive(id, Upload(request, Limits.of(settings.current()).state))
    return Response(status_code=200)


async def receive_json_state(request: Request, id: str) -> Response:
    await states.receive_json(id, Upload(request, Limits.of(settings.current()).state))
    return Response(status_code=200)


async def send_state(request: Request, id: str) -> Response:
    return await streamed(await states.content(id), media_type="application/json", filename=f"{id}.tfstate")


async def send_json_state(request: Request, id: str) -> Response:
    return await streamed(await states.json_content(id), media_type="application/json", filename=f"{id}.json")


async def streamed(
    stored: StoredObject, *, media_type: str = "application/octet-stream", filename: str | None = None
) -> Response:
    """The bytes of *stored* as an answer.  The first of them are there before it begins, so an object that cannot be
    read is an error and not an empty success."""
    pieces = objects.stream(stored)
    first = await anext(pieces, b"")
    headers = {"content-length": str(stored.size), "cache-control": "no-store"}
    if filename is not None:
        headers["content-disposition"] = f'attachment; filename="{filename}"'
    return StreamingResponse(_rejoined(first, pieces), headers=headers, media_type=media_type)


async def _rejoined(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in rest:
        yield piece


async def _handle(request: Request, table: dict[str, Handler]) -> Response:
    grant = signed_urls.verify(request.path_params["token"])
    handler = table.get(grant.kind)
    if handler is None:
        raise NotFound(f"{request.method} is not what this link is for.")
    return await handler(request, grant.id)


UPLOADS: dict[str, Handler] = {
    CONFIGURATION_UPLOAD: receive_configuration,
    STATE_UPLOAD: receive_state,
    STATE_JSON_UPLOAD: receive_json_state,
}
DOWNLOADS: dict[str, Handler] = {
    CONFIGURATION_DOWNLOAD: send_configuration,
    STATE_DOWNLOAD: send_state,
    STATE_JSON_DOWNLOAD: send_json_state,
    LOG: log_reads.read,
}

routes = [
    Route(signed_urls.PATH + "{token}", upload, methods=["PUT"], body=None),
    Route(signed_urls.PATH + "{token}", download),
]

"""Where GitHub's deliveries come in: checked, stored, answered, and looked at later.

GitHub waits ten seconds and does not ask again, so nothing here depends on what a delivery says.
Source: `github-app.md` §3.1 of the protocol notes.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from app import bell
from app.errors import NotFound, TooLarge, Unavailable
from app.http.bodies import check_announced, whole
from app.http.limits import Limit
from app.http.routing import Route
from github_app import apps, inbox, signatures
from github_app.inbox import Message
from github_app.models import GitHubApp

log = structlog.get_logger(__name__)

#: GitHub sends nothing above 25 MB.
LIMIT = Limit("A delivery of GitHub's", 26 * 1024**2, setting="")
#: A body longer than this waits until no other long one is being read: two of them are held at a time.
SHORT = 1024**2
#: Seconds a body may take: GitHub waits ten for the answer, and whoever sends more slowly keeps the room from others.
PATIENCE = 20.0
_long_ones = asyncio.Semaphore(2)

_WORD = re.compile(r"[a-z_]{1,64}", re.ASCII)
_GUID = re.compile(r"[0-9A-Za-z-]{8,64}", re.ASCII)


async def receive(request: Request) -> Response:
    """POST /api/webhooks/github/{app}"""
    try:
        app = await apps.find(request.path_params["app"])
        check_announced(request.scope, LIMIT)
        async with _room(request):
            return await _receive(request, app)
    except (NotFound, TooLarge, Unavailable) as error:
        return PlainTextResponse(error.sentence, _STATUSES[type(error)])


async def _receive(request: Request, app: GitHubApp) -> Response:
    try:
        async with asyncio.timeout(PATIENCE):
            body = await whole(request, LIMIT)
    except TimeoutError:
        return PlainTextResponse("The delivery came too slowly.", 408)
    if not signatures.is_signed(body, request.headers.get(signatures.HEADER), apps.webhook_secrets(app)):
        log.warning("a delivery without a good signature", app=app.id)
        return Response(status_code=401)
    if problem := _problem(request, app):
        log.warning("a delivery that cannot be taken", app=app.id, why=problem)
        return PlainTextResponse(problem, 400)
    message = Message(request.headers["x-github-delivery"], request.headers["x-github-event"], body)
    delivery = await inbox.store(app, message)
    log.info("delivery", delivery=delivery.id, guid=delivery.guid, github_event=delivery.event, state=delivery.state)
    await bell.ring()
    return Response(status_code=202)


def _problem(request: Request, app: GitHubApp) -> str | None:
    """What is wrong with a message that GitHub signed: a setting of the app, mostly."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        return "The app's webhook sends forms. On its settings page at GitHub, set the content type application/json."
    if not _GUID.fullmatch(request.headers.get("x-github-delivery", "")):
        return "X-GitHub-Delivery is missing or no id."
    if not _WORD.fullmatch(request.headers.get("x-github-event", "")):
        return "X-GitHub-Event is missing or no event's name."
    target = request.headers.get("x-github-hook-installation-target-id", str(app.app_id))
    if target != str(app.app_id):
        return (
            f"This is the address of the app {app.app_id}, and the delivery is for {target[:20]}. Each app has an"
            " address of its own."
        )
    return None


@asynccontextmanager
async def _room(request: Request) -> AsyncIterator[None]:
    """Room for the body: for a short one at once.  Unannounced lengths count as long."""
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced[:20]) <= SHORT:
        yield
        return
    async with _long_ones:
        yield


_STATUSES: dict[type[Exception], int] = {NotFound: 404, TooLarge: 413, Unavailable: 503}

routes = [Route("/api/webhooks/github/{app}", receive, methods=["POST"], body=None)]

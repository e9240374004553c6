"""What every request passes on its way in and out.  Plain ASGI: a `BaseHTTPMiddleware` costs more than the
endpoint it wraps."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from typing import Any

import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import clock
from app.errors import TooLarge
from app.http.bodies import bounded, check_announced
from app.http.limits import Limit, Limits
from app.http.refusals import Refusal, Refuse, refuse
from app.http.routing import UNMATCHED, Router

log = structlog.get_logger("stateroom.http")

#: The least that may be announced: of a smaller number the CLI makes a burst of none, and fails each call.
LEAST_RATE = 30

#: A run has its id's suffix in common with its plan and its apply.
_RUN = re.compile(r"(?:run|plan|apply)-([A-Za-z0-9]{16})")

#: Called after each request with route pattern, method, status and seconds.
Observe = Callable[[str, str, int, float], None]


def stack(
    router: Router, limits: Limits, *, rate: int, refuse: Refuse = refuse, observe: Observe | None = None
) -> ASGIApp:
    """The whole application around *router*, from the outside in."""
    app: ASGIApp = BodyLimit(router, router, limits, refuse)
    app = UnexpectedErrors(app, refuse)
    app = StandardHeaders(app, rate)
    return AccessLog(app, observe)


class AccessLog:
    """Gives the request its id, and writes one line when it is over.

    The line has the route's pattern; path and query appear nowhere, for both may hold a secret.
    """

    def __init__(self, app: ASGIApp, observe: Observe | None = None) -> None:
        self.app = app
        self.observe = observe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = clock.monotonic()
        request_id = scope["request_id"] = secrets.token_hex(8)
        status = 499  # nobody was left to answer, unless a response starts

        async def note_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self.app(scope, receive, note_status)
            finally:
                self._write(scope, status, clock.monotonic() - started)

    def _write(self, scope: Scope, status: int, seconds: float) -> None:
        pattern = route_pattern(scope)
        actor = getattr(scope.get("state", {}).get("actor"), "id", None)
        who = {"actor": actor} if actor else {}
        if run := _run_named(scope):
            who["run"] = run
        log.info(
            "request",
            route=pattern,
            method=scope["method"],
            status=status,
            ms=round(seconds * 1000, 1),
            **who,
        )
        if self.observe:
            self.observe(pattern, scope["method"], status, seconds)


def _run_named(scope: Scope) -> str | None:
    """The run that the path names, by its own id or by its plan's or apply's: ids are no secret, other texts may be."""
    named = _RUN.fullmatch(scope.get("path_params", {}).get("id", ""))
    return f"run-{named[1]}" if named else None


class StandardHeaders:
    """What terraform wants to find on every response, whatever its status.

    These values are the only ones with which every CLI since 0.11 takes part in all it can.  *rate* is
    announced, not enforced, here; 0 announces nothing, which means no limit.
    """

    def __init__(self, app: ASGIApp, rate: int) -> None:
        self.app = app
        self.headers = [
            (b"tfp-api-version", b"2.6"),
            (b"tfp-appname", b"Terraform Enterprise"),
            (b"x-tfe-version", b"v202501-1"),
            (b"x-content-type-options", b"nosniff"),
        ]
        if rate:
            self.headers.append((b"x-ratelimit-limit", b"%d" % max(rate, LEAST_RATE)))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        ours = [*self.headers, (b"x-request-id", scope["request_id"].encode())]

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *ours]}
            await send(message)

        await self.app(scope, receive, send_with_headers)


class UnexpectedErrors:
    """Turns what nobody expected into a 500 whose reference, the request's id, stands beside the trace in
    the log."""

    def __init__(self, app: ASGIApp, refuse: Refuse = refuse) -> None:
        self.app = app
        self.refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun = False

        async def note_begin(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self.app(scope, receive, note_begin)
        except ClientDisconnect:
            log.debug("the client went away", route=route_pattern(scope))
        except Exception:
            reference = scope["request_id"]
            log.exception("a bug", route=route_pattern(scope), method=scope["method"], reference=reference)
            if begun:
                return  # the server cuts the connection of an answer without end: that is seen as a failure
            text = f"Something went wrong here that should not. The server's log has it as {reference}."
            response = self.refuse(scope, Refusal(500, "internal server error", text))
            await response(scope, receive, send)


class BodyLimit:
    """Ends a request whose body is longer than its route allows with 413, before or while it is read.

    The rest is not read here: after an answer the server throws away what still comes on the connection, so
    a client that listens only when it has sent everything gets the answer too.
    """

    def __init__(self, app: ASGIApp, router: Router, limits: Limits, refuse: Refuse = refuse) -> None:
        self.app = app
        self.router = router
        self.limits = limits
        self.refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        limit = self._limit(scope)
        if limit is None:
            await self.app(scope, receive, send)
            return
        try:
            check_announced(scope, limit)
            await self.app(scope, bounded(receive, limit), send)
        except TooLarge as error:
            response = self.refuse(scope, Refusal(413, "payload too large", error.sentence))
            await response(scope, receive, send)

    def _limit(self, scope: Scope) -> Limit | None:
        if scope["type"] != "http":
            return None
        route = self.router.match(scope)
        name = route.body if route else "json"
        limit: Limit | None = getattr(self.limits, name) if name else None
        return limit


def route_pattern(scope: Scope) -> str:
    route: Any = scope.get("route")
    return str(route.path) if route else UNMATCHED

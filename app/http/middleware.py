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

#: The status of a request that got no answer: nobody was left to read one.
NOBODY_LEFT = 499

#: A run has its id's suffix in common with its plan and its apply.
_RUN = re.compile(r"(?:run|plan|apply)-([A-Za-z0-9]{16})")

#: Called after each request with route pattern, method, status and seconds.
Observe = Callable[[str, str, int, float], None]


def stack(
    router: Router, limits: Limits, *, rate: int, refuse: Refuse = refuse, observe: Observe | None = None
) -> ASGIApp:
    """The whole application around *router*."""
    return Entrance(router, limits, rate, refuse, observe)


class Entrance:
    """Gives a request its id and its limit, each answer its headers, and writes one line when it is over.

    One class, not one for each: what every request passes is paid by every request.  The line has the route's pattern;
    path and query appear nowhere, for both may hold a secret.
    """

    def __init__(
        self, router: Router, limits: Limits, rate: int, refuse: Refuse = refuse, observe: Observe | None = None
    ) -> None:
        self.router = router
        self.limits = limits
        self.refuse = refuse
        self.observe = observe
        self.headers = standard_headers(rate)
        self.log = log.bind()  # once: finding the configuration takes as long as writing the line

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.router(scope, receive, send)
            return
        started = clock.monotonic()
        request_id = scope["request_id"] = secrets.token_hex(8)
        answer = _Answer(send, [*self.headers, (b"x-request-id", request_id.encode())])
        bound = structlog.contextvars.bind_contextvars(request_id=request_id)
        try:
            await self._see_through(scope, receive, answer)
        finally:
            self._write(scope, answer.status, clock.monotonic() - started)
            structlog.contextvars.reset_contextvars(**bound)

    async def _see_through(self, scope: Scope, receive: Receive, answer: _Answer) -> None:
        """Let the router answer.  What nobody expected becomes a 500 whose reference, the request's id, stands beside
        the trace in the log."""
        try:
            await self._within_limit(scope, receive, answer)
        except ClientDisconnect:
            self.log.debug("the client went away", route=route_pattern(scope))
        except Exception:
            reference = scope["request_id"]
            self.log.exception("a bug", route=route_pattern(scope), method=scope["method"], reference=reference)
            if answer.has_begun:
                return  # the server cuts the connection of an answer without end: that is seen as a failure
            text = f"Something went wrong here that should not. The server's log has it as {reference}."
            response = self.refuse(scope, Refusal(500, "internal server error", text))
            await response(scope, receive, answer.send)

    async def _within_limit(self, scope: Scope, receive: Receive, answer: _Answer) -> None:
        """End a request whose body is longer than its route allows with 413, before or while it is read.

        The rest is not read here: after an answer the server throws away what still comes on the connection, so a
        client that listens only when it has sent everything gets the answer too.
        """
        limit = self._limit(scope)
        if limit is None:
            await self.router(scope, receive, answer.send)
            return
        try:
            check_announced(scope, limit)
            await self.router(scope, bounded(receive, limit), answer.send)
        except TooLarge as error:
            response = self.refuse(scope, Refusal(413, "payload too large", error.sentence))
            await response(scope, receive, answer.send)

    def _limit(self, scope: Scope) -> Limit | None:
        route = self.router.match(scope)
        name = route.body if route else "json"
        limit: Limit | None = getattr(self.limits, name) if name else None
        return limit

    def _write(self, scope: Scope, status: int, seconds: float) -> None:
        pattern, method = route_pattern(scope), scope["method"]
        said = {"route": pattern, "method": method, "status": status, "ms": round(seconds * 1000, 1)}
        if actor := getattr(scope.get("state", {}).get("actor"), "id", None):
            said["actor"] = actor
        if run := _run_named(scope):
            said["run"] = run
        self.log.info("request", **said)
        if self.observe:
            self.observe(pattern, method, status, seconds)


class _Answer:
    """What goes out: adds the headers to its start, and remembers that and how it began."""

    __slots__ = ("_headers", "_send", "status")

    def __init__(self, send: Send, headers: list[tuple[bytes, bytes]]) -> None:
        self._send, self._headers = send, headers
        self.status = NOBODY_LEFT

    @property
    def has_begun(self) -> bool:
        return self.status != NOBODY_LEFT

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message = {**message, "headers": [*message.get("headers", ()), *self._headers]}
        await self._send(message)


def standard_headers(rate: int) -> list[tuple[bytes, bytes]]:
    """What terraform wants to find on every response, whatever its status.

    These values are the only ones with which every CLI since 0.11 takes part in all it can.  *rate* is announced, not
    enforced, here; 0 announces nothing, which means no limit.
    """
    headers = [
        (b"tfp-api-version", b"2.6"),
        (b"tfp-appname", b"Terraform Enterprise"),
        (b"x-tfe-version", b"v202501-1"),
        (b"x-content-type-options", b"nosniff"),
    ]
    if rate:
        headers.append((b"x-ratelimit-limit", b"%d" % max(rate, LEAST_RATE)))
    return headers


def _run_named(scope: Scope) -> str | None:
    """The run that the path names, by its own id or by its plan's or apply's: ids are no secret, other texts may be."""
    named = _RUN.fullmatch(scope.get("path_params", {}).get("id", ""))
    return f"run-{named[1]}" if named else None


def route_pattern(scope: Scope) -> str:
    route: Any = scope.get("route")
    return str(route.path) if route else UNMATCHED

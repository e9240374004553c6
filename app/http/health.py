"""Whether this server can do its work: for load balancers, orchestrators and people with curl."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from app.errors import StateroomError
from app.http import metrics
from app.http.routing import Route
from app.secret import Secret
from app.storage import crypto

log = structlog.get_logger(__name__)

#: Raises if the part cannot do its work.
Check = Callable[[], Awaitable[None]]
WITHIN_SECONDS = 5.0


@dataclass(frozen=True)
class Health:
    """*needed* parts: without one of them the server is down.  Without a *useful* one it is degraded and goes on."""

    needed: Mapping[str, Check]
    useful: Mapping[str, Check]
    metrics_token: Secret[str] | None = None
    loopback_is_here: bool = True
    """Whether what comes from a loopback address is asked on this machine.  Behind a proxy it may be anybody: not every
    proxy says for whom it asks, and some pass on what the client says of itself."""
    figures: Callable[[], Awaitable[bytes]] | None = None
    """The text of the metrics; without it, of this process alone."""

    def routes(self) -> list[Route]:
        return [
            Route("/health", self.health),
            Route("/health/live", live),
            Route("/metrics", self.metrics),
        ]

    async def health(self, request: Request) -> Response:
        """GET /health"""
        names = [*self.needed, *self.useful]
        said = await asyncio.gather(*map(_ask, {**self.needed, **self.useful}.values()))
        problems = {name: problem for name, problem in zip(names, said, strict=True) if problem}
        status = "ok"
        if problems:
            status = "down" if problems.keys() & self.needed.keys() else "degraded"
        parts = {name: problems.get(name, "ok") for name in names}
        return JSONResponse({"status": status, "parts": parts}, 503 if status == "down" else 200)

    async def metrics(self, request: Request) -> Response:
        """GET /metrics, from this machine or with the token of the settings"""
        if not ((self.loopback_is_here and _is_loopback(request)) or self._has_token(request)):
            here = "this machine, and to " if self.loopback_is_here else ""
            text = f"Metrics are shown to {here}who sends the token of STATEROOM_METRICS_TOKEN as a bearer."
            return PlainTextResponse(text + "\n", 403)
        shown = await self.figures() if self.figures is not None else metrics.text()
        return Response(shown, media_type=metrics.CONTENT_TYPE)

    def _has_token(self, request: Request) -> bool:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        wanted = self.metrics_token
        return bool(wanted) and scheme.lower() == "bearer" and Secret(token) == wanted


async def live(request: Request) -> Response:
    """GET /health/live: the process answers; of its parts it says nothing."""
    return JSONResponse({"status": "ok"})


async def keys_work() -> None:
    """Raises if nothing can be encrypted and read again."""
    context = ("health",)
    crypto.open_sealed(crypto.seal(b"x", context=context), context=context)


async def _ask(check: Check) -> str | None:
    """What is wrong with a part, None if nothing is."""
    try:
        async with asyncio.timeout(WITHIN_SECONDS):
            await check()
    except StateroomError as error:
        return error.sentence
    except TimeoutError:
        return f"It did not answer within {WITHIN_SECONDS:.0f} seconds."
    except Exception:
        log.exception("a health check failed", check=getattr(check, "__qualname__", ""))
        return "It failed; the server's log says how."
    return None


def _is_loopback(request: Request) -> bool:
    try:
        return request.client is not None and ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:
        return False

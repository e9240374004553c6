"""From a bearer token to who acts.

Every route of the API is wrapped by `authenticated`; nothing of a request is looked up before it is known
who asks, and a run's token is turned away by name from every route that is not in its table.
"""

from __future__ import annotations

from dataclasses import replace

from starlette.requests import Request
from starlette.responses import Response

from app import settings
from app.access import run_tokens, tokens
from app.access.actors import Actor, Kind
from app.errors import Forbidden, Unauthenticated
from app.http.routing import Endpoint
from backend_api import clients

#: Where a run finds this server: the proxy of its sandbox answers to that name, and to it alone.
INTERNAL_URL = "http://stateroom.internal"

_MISSING = (
    "This needs a token: send the header Authorization: Bearer TOKEN. Terraform takes it from a credentials block,"
    " or from terraform login."
)
_MALFORMED = "The Authorization header is not understood: it must be Bearer and a token, separated by one space."


def authenticated(endpoint: Endpoint) -> Endpoint:
    """*endpoint*, asked only when `request.state.actor` says who acts."""

    async def ask_who(request: Request) -> Response:
        actor = await tokens.authenticate(_bearer(request))
        if actor.kind is Kind.RUN:
            _check_route(request)
        clients.notice(client_version(request))
        integration = request.headers.get("x-terraform-integration")
        request.state.actor = replace(actor, integration=integration[:40]) if integration else actor
        return await endpoint(request)

    ask_who.__name__, ask_who.__module__ = getattr(endpoint, "__name__", "endpoint"), endpoint.__module__
    ask_who.__doc__ = endpoint.__doc__
    return ask_who


def actor_of(request: Request) -> Actor:
    actor: Actor = request.state.actor
    return actor


def base_url(request: Request) -> str:
    """What links in an answer begin with: a run must go by the proxy of its sandbox, everybody else comes
    from outside."""
    actor = getattr(request.state, "actor", None)
    if actor is not None and actor.kind is Kind.RUN:
        return INTERNAL_URL
    return settings.current().external_url


def client_version(request: Request) -> str | None:
    """The version of the terraform that asks, if it is one."""
    return request.headers.get("terraform-version")


def _bearer(request: Request) -> str:
    header = request.headers.get("authorization")
    if header is None:
        raise Unauthenticated(_MISSING)
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthenticated(_MALFORMED)
    return token.strip()


def _check_route(request: Request) -> None:
    route = request.scope["route"]
    if not run_tokens.allows(request.method, route.path):
        raise Forbidden(
            f"This is a run token; it may not call {request.method} {route.path}. A run reads and locks its own"
            " workspace, reads states that its organization shares with it, and downloads modules and providers.",
            permission=f"{request.method} {route.path}",
        )

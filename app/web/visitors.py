"""Who looks at a page: the session behind the cookie, and what a form must prove before it counts.

A form post must come from a page of ours (`Origin`) and, once somebody is signed in, carry the session's form token.
"""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, urlsplit

from starlette.requests import Request
from starlette.responses import Response

from app import settings
from app.access import sessions, tokens
from app.access.actors import Actor
from app.access.models import Session
from app.errors import Forbidden, Invalid
from app.http import bodies
from app.http.limits import Limit
from app.http.routing import Endpoint
from app.secret import Secret
from app.web.answers import to
from app.web.errors import answered

FORM = Limit("A form", 128 * 1024, "none")
MOST_FIELDS = 50
#: Where somebody may be sent after signing in: our own pages, whatever a link says.
_NEXT = re.compile(r"/app(?:[/?][!-\[\]-~]*)?")


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who is signed in, as one who acts, and the session they do it in."""

    actor: Actor
    session: Session


def signed_in(endpoint: Endpoint) -> Endpoint:
    """*endpoint* for those who are signed in; everybody else is asked to and comes back.

    A post is let through only with the session's form token, from our own origin.
    """

    async def ask(request: Request) -> Response:
        visitor = await visitor_of(request)
        if visitor is None:
            return to(f"/login?next={quote(_here(request), safe='')}")
        request.state.visitor, request.state.actor = visitor, visitor.actor
        if request.method == "POST":
            require_own_origin(request)
            sent = await form(request)
            if not hmac.compare_digest(sent.get("form_token", "").encode(), visitor.session.form_token.encode()):
                raise Forbidden("This form is from another session. Load the page again, then send it once more.")
        return await endpoint(request)

    return answered(_named(ask, endpoint))


def open_to_all(endpoint: Endpoint) -> Endpoint:
    """*endpoint* for everybody; a post must come from our own origin."""

    async def ask(request: Request) -> Response:
        if request.method == "POST":
            require_own_origin(request)
        return await endpoint(request)

    return answered(_named(ask, endpoint))


def visitor(request: Request) -> Visitor:
    found: Visitor = request.state.visitor
    return found


def actor(request: Request) -> Actor:
    return visitor(request).actor


async def visitor_of(request: Request) -> Visitor | None:
    cookie = request.cookies.get(cookie_name())
    session = await sessions.find(cookie) if cookie else None
    return Visitor(await tokens.actor_of(session.user), session) if session is not None else None


async def form(request: Request) -> dict[str, str]:
    """What a form sent, the last of each name; read once, however often it is asked for."""
    if not hasattr(request.state, "form"):
        sent = await bodies.whole(request, FORM)
        try:
            pairs = parse_qsl(sent.decode("ascii"), keep_blank_values=True, max_num_fields=MOST_FIELDS, errors="strict")
        except ValueError:
            raise Invalid("This is not what one of our forms sends.") from None
        if any("\0" in part for pair in pairs for part in pair):
            raise Invalid("A form holds no NUL characters.")
        request.state.form = dict(pairs)
    found: dict[str, str] = request.state.form
    return found


def require_own_origin(request: Request) -> None:
    """Refuse what a page of somebody else sends.  Browsers say with each post where it comes from."""
    origin = request.headers.get("origin")
    here = request.headers.get("host", "")
    ours = urlsplit(settings.current().external_url)
    if origin is None or urlsplit(origin).scheme != ours.scheme or urlsplit(origin).netloc not in (here, ours.netloc):
        raise Forbidden("This form was not sent from a page of this server, so nothing was done.")


def safe_next(wanted: str | None) -> str:
    """*wanted* if it is one of our pages, else the first one."""
    return wanted if wanted is not None and _NEXT.fullmatch(wanted) else "/app"


def cookie_name() -> str:
    """With TLS the name makes browsers refuse it from anywhere but this very host over TLS."""
    return "__Host-stateroom" if _has_tls() else "stateroom"


def remember(response: Response, cookie: Secret[str]) -> Response:
    life = int(settings.current().session_life)
    response.set_cookie(
        cookie_name(), cookie.reveal(), max_age=life, path="/", secure=_has_tls(), httponly=True, samesite="lax"
    )
    return response


def forget(response: Response) -> Response:
    response.delete_cookie(cookie_name(), path="/", secure=_has_tls(), httponly=True, samesite="lax")
    return response


def _has_tls() -> bool:
    return settings.current().external_url.startswith("https:")


def _here(request: Request) -> str:
    """The address that was asked for, as it was sent; of a post the page with the same address."""
    raw: bytes = request.scope.get("raw_path") or quote(request.scope["path"]).encode()
    path, query = raw.partition(b"?")[0].decode("latin-1"), request.scope["query_string"].decode("latin-1")
    return f"{path}?{query}" if query and request.method != "POST" else path


def _named(asked: Endpoint, endpoint: Endpoint) -> Endpoint:
    """The route list and the tests call an endpoint by its own name, whatever is around it."""
    asked.__name__, asked.__module__ = getattr(endpoint, "__name__", "endpoint"), endpoint.__module__
    asked.__doc__ = endpoint.__doc__
    return asked

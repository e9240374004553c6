"""What a page says when something cannot be had or done: one template for all of it."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from app.errors import (
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    StateroomError,
    TooLarge,
    Unauthenticated,
    Unavailable,
)
from app.http import refusals
from app.http.refusals import Refusal
from app.http.routing import Endpoint
from app.web import answers

#: The first segment of the paths that are pages.
PAGES = frozenset({"", "app", "auth", "login", "logout"})


@dataclass(frozen=True, slots=True)
class Look:
    status: int
    heading: str
    remedy: str = ""


LOOKS: dict[type[StateroomError], Look] = {
    NotFound: Look(404, "There is nothing here"),
    Forbidden: Look(403, "You may not do this"),
    Conflict: Look(409, "It moved on meanwhile", "Nothing was changed. Look at it again, then decide."),
    Invalid: Look(422, "This was not accepted", "Nothing was changed. Go back, correct it and send it again."),
    Unauthenticated: Look(401, "Not signed in"),
    Unavailable: Look(503, "A part does not answer", "Nothing was stored. Try again in a moment."),
    TooLarge: Look(413, "This is too long"),
}


def answered(endpoint: Endpoint) -> Endpoint:
    """*endpoint*, its refusals drawn as pages."""

    async def answer(request: Request) -> Response:
        try:
            return await endpoint(request)
        except StateroomError as error:
            return drawn(request, error)

    answer.__name__, answer.__module__ = getattr(endpoint, "__name__", "endpoint"), endpoint.__module__
    answer.__doc__ = endpoint.__doc__
    return answer


def drawn(request: Request, error: StateroomError) -> Response:
    look = next((LOOKS[kind] for kind in type(error).__mro__ if kind in LOOKS), None)
    if look is None:
        raise error
    return answers.page(
        request,
        "error.html",
        look.status,
        heading=look.heading,
        sentence=error.sentence,
        remedy=look.remedy,
        back=_page_behind(request),
        reference=request.scope.get("request_id"),
    )


def refuse(scope: Scope, refusal: Refusal) -> Response:
    """What router and middleware turn down before an endpoint has seen it: a page where pages are."""
    if scope["path"].split("/")[1] not in PAGES:
        return refusals.refuse(scope, refusal)
    html = answers.render(
        "error.html",
        visitor=None,
        heading=refusal.title.capitalize(),
        sentence=refusal.detail,
        remedy="",
        back=None,
        reference=scope.get("request_id"),
    )
    return Response(html, refusal.status, {**answers.HEADERS, **refusal.headers}, media_type="text/html")


def _page_behind(request: Request) -> str | None:
    """The page whose form was refused: the one above the address that forms of it are sent to."""
    if request.method != "POST":
        return None
    path = request.url.path
    return path.rpartition("/")[0] if path.startswith("/app/") else path

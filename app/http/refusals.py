"""How a request is turned down before anybody who knows the domain has seen it.

A path that does not exist, a method that is not allowed, a body that is too long, a bug.  The API answers
with a JSON:API error document, everything else with a line of text; whoever puts the application together
may hand router and middleware another function that draws pages.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import orjson
from starlette.responses import PlainTextResponse, Response
from starlette.types import Scope

API = "/api/"
JSON_API = "application/vnd.api+json"


@dataclass(frozen=True)
class Refusal:
    status: int
    title: str
    detail: str
    headers: Mapping[str, str] = field(default_factory=dict)


#: Makes the answer that fits the surface the request was meant for.
Refuse = Callable[[Scope, Refusal], Response]


def refuse(scope: Scope, refusal: Refusal) -> Response:
    if scope["path"].startswith(API):
        return error_document(refusal.status, [error_object(refusal)], refusal.headers)
    text = f"{refusal.status} {refusal.title}\n\n{refusal.detail}\n"
    return PlainTextResponse(text, refusal.status, dict(refusal.headers))


def error_object(refusal: Refusal, source: Mapping[str, str] | None = None) -> dict[str, object]:
    """Clients join title and detail; a bare text instead of an object is understood by the newest only.

    *source* is JSON:API's: a pointer into the body, or the name of a query parameter.
    """
    said: dict[str, object] = {
        "status": str(refusal.status),
        "title": refusal.title,
        "detail": refusal.detail,
    }
    return said | ({"source": dict(source)} if source else {})


def error_document(status: int, errors: list[dict[str, object]], headers: Mapping[str, str] | None = None) -> Response:
    body = orjson.dumps({"errors": errors})
    return Response(body, status, dict(headers or {}), media_type=JSON_API)

"""From the domain's errors to statuses and error documents."""

from __future__ import annotations

from collections.abc import Mapping

import structlog
from starlette.requests import Request
from starlette.responses import Response

from app import errors
from app.http.refusals import Refusal, error_document, error_object
from app.http.routing import Endpoint
from app.storage.crypto import Damaged
from backend_api.names import dashed

log = structlog.get_logger(__name__)


class BadRequest(errors.StateroomError):
    """The request itself cannot be read: not JSON, an order a list does not have."""


#: What each is on the wire.  Clients show title and detail; some match on words of the detail, which is the
#: domain's sentence as it is.
ANSWERS: Mapping[type[errors.StateroomError], tuple[int, str]] = {
    BadRequest: (400, "bad request"),
    errors.Unauthenticated: (401, "unauthorized"),
    errors.Forbidden: (403, "forbidden"),
    errors.BadTransition: (400, "bad request"),
    errors.NotFound: (404, "not found"),
    errors.Conflict: (409, "conflict"),
    errors.TooLarge: (413, "payload too large"),
    errors.Invalid: (422, "invalid attribute"),
    errors.Unavailable: (503, "service unavailable"),
    # Nothing that asking again would mend, so none of the statuses that clients ask again after.
    Damaged: (409, "conflict"),
}


def answered(endpoint: Endpoint) -> Endpoint:
    """*endpoint*, whose errors of ours become error documents.  Any other exception is a bug, and passes."""

    async def answer(request: Request) -> Response:
        try:
            return await endpoint(request)
        except errors.StateroomError as error:
            return document(error)

    answer.__name__, answer.__module__ = getattr(endpoint, "__name__", "endpoint"), endpoint.__module__
    answer.__doc__ = endpoint.__doc__
    return answer


def document(error: errors.StateroomError) -> Response:
    """The answer to a request that ended with *error*.  Raises it again if it is of no kind that has one."""
    found = next((ANSWERS[kind] for kind in type(error).__mro__ if kind in ANSWERS), None)
    if found is None:
        raise error
    if isinstance(error, Damaged):
        log.error("what is stored is damaged", reason=error.sentence)
    status, title = found
    pointer = _pointer(error.field) if isinstance(error, errors.Invalid) else None
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
    return error_document(status, [error_object(Refusal(status, title, error.sentence), pointer)], headers)


def _pointer(field: str | None) -> str | None:
    """Where in the request's document the fault is: a field of the domain, or a pointer already."""
    if field is None or field.startswith("/"):
        return field
    return f"/data/attributes/{dashed(field)}"

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

#: Where attributes lie in the body of a request, and the member of its state that says so if they lie elsewhere.
DOCUMENT = "/data/attributes"
ATTRIBUTES_AT = "attributes_at"


class BadRequest(errors.StateroomError):
    """The request itself cannot be read: not JSON, an order a list does not have (*parameter* names what says so)."""

    def __init__(self, sentence: str, *, parameter: str | None = None) -> None:
        super().__init__(sentence)
        self.parameter = parameter


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
            return document(error, getattr(request.state, ATTRIBUTES_AT, DOCUMENT))

    answer.__name__, answer.__module__ = getattr(endpoint, "__name__", "endpoint"), endpoint.__module__
    answer.__doc__ = endpoint.__doc__
    return answer


def document(error: errors.StateroomError, attributes_at: str = DOCUMENT) -> Response:
    """The answer to a request that ended with *error*, in whose body attributes lie at the pointer *attributes_at*.

    Raises it again if it is of no kind that has one.
    """
    found = next((ANSWERS[kind] for kind in type(error).__mro__ if kind in ANSWERS), None)
    if found is None:
        raise error
    if isinstance(error, Damaged):
        log.error("what is stored is damaged", reason=error.sentence)
    status, title = found
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
    refusal = Refusal(status, title, error.sentence)
    return error_document(status, [error_object(refusal, _source(error, attributes_at))], headers)


def _source(error: errors.StateroomError, attributes_at: str) -> dict[str, str] | None:
    """Where in the request the fault is: a parameter of its query, a field of the domain, or a pointer already."""
    parameter, field = getattr(error, "parameter", None), getattr(error, "field", None)
    if parameter is not None:
        return {"parameter": parameter}
    if field is None:
        return None
    return {"pointer": field if field.startswith("/") or not field else f"{attributes_at}/{dashed(field)}"}

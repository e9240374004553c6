from __future__ import annotations

import orjson
import pytest
from starlette.requests import Request
from starlette.responses import Response

from app import errors
from backend_api.errors import ANSWERS, BadRequest, answered, document
from tests.unit.api.shelf import request

SENTENCE = "The workspace is locked by Run run-1."


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (BadRequest(SENTENCE), 400),
        (errors.Unauthenticated(SENTENCE), 401),
        (errors.Forbidden(SENTENCE, permission="run:apply"), 403),
        (errors.NotFound(SENTENCE), 404),
        (errors.Conflict(SENTENCE), 409),
        (errors.TooLarge(SENTENCE, limit=5), 413),
        (errors.Invalid(SENTENCE), 422),
        (errors.Unavailable(SENTENCE), 503),
    ],
)
def test_every_error_is_an_object_with_the_domains_sentence(error: errors.StateroomError, status: int) -> None:
    response = document(error)
    [said] = orjson.loads(response.body)["errors"]

    assert response.status_code == status
    assert response.media_type == "application/vnd.api+json"
    assert said["status"] == str(status)
    assert said["title"]
    assert said["detail"] == SENTENCE
    assert "source" not in said


def test_every_error_of_the_domain_has_an_answer() -> None:
    kinds = {kind for kind in vars(errors).values() if isinstance(kind, type)} - {errors.StateroomError}

    assert {k for k in kinds if issubclass(k, errors.StateroomError)} <= set(ANSWERS)


@pytest.mark.parametrize(
    ("field", "pointer"),
    [("auto_apply", "/data/attributes/auto-apply"), ("/data/relationships/x", "/data/relationships/x")],
)
def test_an_invalid_field_is_pointed_at(field: str, pointer: str) -> None:
    [said] = orjson.loads(document(errors.Invalid(SENTENCE, field=field)).body)["errors"]

    assert said["source"] == {"pointer": pointer}


def test_a_field_of_a_plain_body_is_pointed_at_there() -> None:
    [said] = orjson.loads(document(errors.Invalid(SENTENCE, field="comment"), "").body)["errors"]

    assert said["source"] == {"pointer": "/comment"}


@pytest.mark.parametrize("kind", [errors.Invalid, BadRequest])
def test_what_a_query_says_is_named_as_its_parameter(kind: type[errors.Invalid]) -> None:
    [said] = orjson.loads(document(kind(SENTENCE, parameter="filter[status]")).body)["errors"]

    assert said["source"] == {"parameter": "filter[status]"}


def test_who_is_unknown_is_told_how_to_come() -> None:
    assert document(errors.Unauthenticated(SENTENCE)).headers["www-authenticate"] == "Bearer"


def test_a_kind_of_error_that_is_more_special_is_answered_like_its_kind() -> None:
    class Gone(errors.NotFound):
        pass

    assert document(Gone(SENTENCE)).status_code == 404


async def test_an_endpoint_is_wrapped_under_its_own_name_and_bugs_pass() -> None:
    async def missing(request: Request) -> Response:
        """GET /x"""
        raise errors.NotFound(SENTENCE)

    async def broken(request: Request) -> Response:
        raise KeyError("x")

    wrapped = answered(missing)

    assert (wrapped.__name__, wrapped.__doc__, wrapped.__module__) == ("missing", "GET /x", __name__)
    assert (await wrapped(request())).status_code == 404
    with pytest.raises(KeyError):
        await answered(broken)(request())

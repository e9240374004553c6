from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import Invalid
from backend_api.errors import BadRequest
from backend_api.jsonapi import Incoming, Ref, incoming, read_action
from tests.unit.api.shelf import BookResource, request


def read(body: Any, **more: Any) -> Incoming:
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    return incoming.document(BookResource, raw, **more)


def book(attributes: Any = None, relationships: Any = None, **more: Any) -> dict[str, Any]:
    data = {"type": "x-books", "attributes": attributes, "relationships": relationships, **more}
    return {"data": {key: value for key, value in data.items() if value is not None}}


def refused(body: Any, **more: Any) -> Invalid:
    with pytest.raises(Invalid) as caught:
        read(body, **more)
    return caught.value


def test_attributes_come_by_the_names_of_the_code_and_only_those_sent() -> None:
    sent = book({"title": "Emma", "is-old": True, "type": "novel", "note": None}, id="book-1")

    assert read(sent) == Incoming("book-1", {"title": "Emma", "is_old": True, "kind": "novel", "note": None}, {})


def test_underscores_are_understood_too() -> None:
    assert read(book({"is_old": True})).attributes == {"is_old": True}


def test_what_is_unknown_or_not_writable_is_passed_over() -> None:
    sent = book({"bought-at": 5, "nonsense": {}}, {"sequel": 7, "nonsense": 8})

    assert read(sent) == Incoming(None, {}, {})


@pytest.mark.parametrize(
    ("attributes", "pointer", "word"),
    [
        ({"title": 5}, "title", "title: expected str, got int"),
        ({"title": None}, "title", "null"),
        ({"is-old": "yes"}, "is-old", "is-old: expected bool"),
        ({"is_old": 1}, "is_old", "is_old: expected bool"),
        ({"pages": "3"}, "pages", "int"),
        ({"pages": 2.5}, "pages", "int"),
        ({"pages": 2**63}, "pages", "pages"),
        ({"pages": 10**400}, "pages", "pages"),
        ({"marks": {}}, "marks", "array"),
        ({"marks": [{"a": "b"}, {"a": 1}]}, "marks/1", "str"),
        ({"type": []}, "type", "str"),
    ],
)
def test_a_value_of_the_wrong_type_is_pointed_at(attributes: Any, pointer: str, word: str) -> None:
    body = str(book(attributes)).replace("'", '"').replace("None", "null")
    error = refused(body.encode())

    assert error.field == f"/data/attributes/{pointer}"
    assert word in error.sentence


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (b"", "/data"),
        (b"{}", "/data"),
        (b"[]", "/data"),
        (b"null", "/data"),
        ({"data": None}, "/data"),
        ({"data": []}, "/data"),
        ({"data": "x"}, "/data"),
        ({"data": {}}, "/data/type"),
        ({"data": {"type": "x-shelves"}}, "/data/type"),
        ({"data": {"type": 5}}, "/data/type"),
        ({"data": {"type": ["x-books"]}}, "/data/type"),
        (book(id=5), "/data/id"),
        (book([1]), "/data/attributes"),
        (book("x"), "/data/attributes"),
        (book(None, [1]), "/data/relationships"),
        (book(None, {"shelf": None}), "/data/relationships/shelf"),
        (book(None, {"shelf": {}}), "/data/relationships/shelf"),
        (book(None, {"shelf": {"data": []}}), "/data/relationships/shelf/data"),
        (book(None, {"shelf": {"data": {"id": "s"}}}), "/data/relationships/shelf/data/type"),
        (book(None, {"shelf": {"data": {"type": [], "id": "s"}}}), "/data/relationships/shelf/data/type"),
        (book(None, {"shelf": {"data": {"type": "x-books", "id": "s"}}}), "/data/relationships/shelf/data/type"),
        (book(None, {"shelf": {"data": {"type": "x-shelves"}}}), "/data/relationships/shelf/data/id"),
        (book(None, {"shelf": {"data": {"type": "x-shelves", "id": 3}}}), "/data/relationships/shelf/data/id"),
        (book(None, {"lent_to": {"data": {"type": "x", "id": "p"}}}), "/data/relationships/lent_to/data/type"),
        (book(None, {"tags": {"data": {"type": "x-tags", "id": "t"}}}), "/data/relationships/tags/data"),
        (book(None, {"tags": {"data": [{"type": "x-tags"}]}}), "/data/relationships/tags/data/0/id"),
        (
            book(None, {"tags": {"data": [{"type": "x-tags", "attributes": {"name": 1}}]}}),
            "/data/relationships/tags/data/0/attributes/name",
        ),
    ],
)
def test_a_document_of_the_wrong_shape_is_pointed_at(body: Any, pointer: str) -> None:
    error = refused(body)

    assert error.field == pointer
    assert error.sentence.endswith(".")


@pytest.mark.parametrize(
    "body",
    [b"{", b"hello", b"\xff", b'{"data": "\xff"}', b'{"data": "\x00"}', b'{"data": NaN}', b"[" * 100_000, b"{} {}"],
)
def test_what_is_not_json_is_a_bad_request(body: bytes) -> None:
    with pytest.raises(BadRequest, match="not JSON"):
        read(body)


def test_a_nul_in_a_text_is_refused_and_an_escaped_backslash_is_not() -> None:
    assert "NUL" in refused(b'{"data": {"type": "x-books", "attributes": {"title": "a\\u0000b"}}}').sentence
    assert "NUL" in refused(b'{"data": {"type": "x-books", "attributes": {"a\\u0000b": 1}}}').sentence
    sent = b'{"data": {"type": "x-books", "attributes": {"title": "a\\\\u0000b"}}}'
    assert read(sent).attributes == {"title": "a\\u0000b"}


def test_a_deeply_nested_body_is_refused() -> None:
    assert "64" in refused(b'{"data":' + b"[" * 200 + b"]" * 200 + b"}").sentence
    wide = book({"marks": [{"a": "b"}] * 500})
    assert len(read(wide).attributes["marks"]) == 500


def test_relations_name_resources_or_nothing() -> None:
    sent = book(
        None,
        {
            "shelf": {"data": {"type": "x-shelves", "id": "shelf-1"}},
            "lent-to": {"data": {"type": "x-people", "id": "ann"}},
        },
    )

    assert read(sent).relations == {
        "shelf": Ref("x-shelves", "shelf-1"),
        "lent_to": Ref("x-people", "ann"),
    }
    assert read(book(None, {"shelf": {"data": None}})).relations == {"shelf": None}
    assert read(book(None, {"tags": {"data": None}})).relations == {"tags": []}


def test_members_of_a_list_may_be_made_by_attributes_where_that_is_declared() -> None:
    members = [
        {"type": "x-tags", "attributes": {"name": "env"}},
        {"type": "x-tags", "id": "tag-1"},
    ]

    assert read(book(None, {"tags": {"data": members}})).relations == {
        "tags": [Ref("x-tags", None, {"name": "env"}), Ref("x-tags", "tag-1")]
    }
    assert incoming.members(BookResource.relations[4], orjson.dumps({"data": members})) == [
        Ref("x-tags", None, {"name": "env"}),
        Ref("x-tags", "tag-1"),
    ]


def test_what_is_required_is_missed_by_name() -> None:
    assert read(book({"title": "x"}), required=["title"]).get("title") == "x"
    assert refused(book({}), required=["is_old"]).field == "/data/attributes/is-old"
    assert refused(book({}), required=["kind"]).field == "/data/attributes/type"
    assert refused(book({}), required=["lent_to"]).field == "/data/relationships/lent-to"


def test_t22_a_type_is_not_checked_where_it_is_not_to_be() -> None:
    sent = {"data": {"type": "", "attributes": {"title": "Locked by Terraform"}}}

    assert read(sent, any_type=True).attributes == {"title": "Locked by Terraform"}


def test_an_empty_body_is_nothing_where_it_may_be() -> None:
    assert read(b" ", may_be_empty=True) == Incoming()


def test_what_was_sent_can_be_asked_for() -> None:
    sent = read(book({"title": "x"}, {"shelf": {"data": None}}))

    assert "title" in sent
    assert "shelf" in sent
    assert "pages" not in sent
    assert (sent.get("title"), sent.get("shelf", 1), sent.get("pages", 7)) == ("x", None, 7)


def test_a_list_of_documents_is_read_each_by_itself() -> None:
    two = {"data": [book({"title": "a"})["data"], book({"title": "b"})["data"]]}
    wrong = {"data": [book()["data"], book({"title": 1})["data"]]}

    assert [one.get("title") for one in incoming.documents(BookResource, orjson.dumps(two))] == ["a", "b"]
    with pytest.raises(Invalid) as caught:
        incoming.documents(BookResource, orjson.dumps(wrong))
    assert caught.value.field == "/data/1/attributes/title"
    with pytest.raises(Invalid, match="list"):
        incoming.documents(BookResource, orjson.dumps(book()))


@pytest.mark.parametrize(
    ("body", "members"),
    [
        (b"", {}),
        (b"{}", {}),
        (b'{"comment": "yes", "other": 1}', {"comment": "yes"}),
        (b'{"comment": null}', {"comment": None}),
        (
            b'{"data": {"type": "", "attributes": {"comment": "yes", "force-it": true}}}',
            {"comment": "yes", "force_it": True},
        ),
        (b'{"data": {}}', {}),
        (b'{"data": null}', {}),
    ],
)
async def test_an_actions_body_may_be_empty_plain_or_a_document(body: bytes, members: Any) -> None:
    assert await read_action(request(body=body), comment=str | None, force_it=bool) == members


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (b"[]", ""),
        (b'{"comment": 5}', "/comment"),
        (b'{"data":{"attributes":{"comment":5}}}', "/data/attributes/comment"),
    ],
)
async def test_an_actions_body_is_checked(body: bytes, pointer: str) -> None:
    with pytest.raises(Invalid) as caught:
        await read_action(request(body=body), comment=str | None)
    assert caught.value.field == pointer


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["data", "type", "id", "attributes", "title", "tags", "shelf"]), inner)
    ),
    max_leaves=12,
)


@given(JSON, JSON, JSON)
def test_any_json_is_read_or_refused_and_nothing_else(attributes: Any, relation: Any, other: Any) -> None:
    import json

    bodies = [
        attributes,
        {"data": attributes},
        {"data": {"type": "x-books", "attributes": attributes, "relationships": other}},
        {"data": {"type": "x-books", "id": other, "attributes": {"title": attributes}}},
        {"data": {"type": "x-books", "relationships": {"shelf": relation, "tags": {"data": other}}}},
    ]
    for body in bodies:
        try:
            read(json.dumps(body).encode())
        except (Invalid, BadRequest) as error:
            assert error.sentence  # noqa: PT017 - any other exception is the failure


@pytest.mark.parametrize("escaped", [rb"a\ud800b", rb"\udc00", rb"\ud800"])
def test_half_a_surrogate_pair_is_named(escaped: bytes) -> None:
    body = b'{"data": {"type": "books", "attributes": {"title": "%s"}}}' % escaped
    with pytest.raises(BadRequest, match=r"\\ud[8c]00 is half of a surrogate pair") as refused:
        incoming.document(BookResource, body)
    assert "truncated" not in str(refused.value)
    with pytest.raises(BadRequest, match="truncated"):
        incoming.document(BookResource, b'{"data": "')

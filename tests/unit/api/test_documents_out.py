from __future__ import annotations

from datetime import datetime
from typing import Any

import orjson
import pytest

from app.access.actors import Actor, Kind
from backend_api.jsonapi import Attribute, Ref, Resource, ToOne, described
from tests.unit.api.shelf import Book, BookResource, Library, Shelf, asked, request


async def shown(book: Any, query: str = "") -> dict[str, Any]:
    response = await BookResource.one(request(query), book)
    assert response.media_type == "application/vnd.api+json"
    document: dict[str, Any] = orjson.loads(response.body)
    return document


@pytest.fixture(autouse=True)
def _nobody_asked() -> None:
    asked.clear()


async def test_a_document_has_hyphens_relations_and_a_link_to_itself() -> None:
    document = await shown(Book("book-1", stamps={"lent_out_at": "2026-03-04T05:06:07.089Z"}))

    assert document == {
        "data": {
            "id": "book-1",
            "type": "x-books",
            "attributes": {
                "title": "Emma",
                "pages": 300,
                "is-old": False,
                "marks": [],
                "type": "novel",
                "permissions": {"can-lend": False, "can-read-it": True},
                "may-lend": False,
                "stamps": {"lent-out-at": "2026-03-04T05:06:07.089Z"},
                "bought-at": "2026-03-04T05:06:07.089Z",
            },
            "relationships": {
                "shelf": {"data": {"type": "x-shelves", "id": "shelf-1"}},
                "dusty": {"data": {"type": "x-shelves", "id": "shelf-1"}},
                "lent-to": {"data": None},
                "sequel": {"data": None},
                "tags": {"data": [{"type": "x-tags", "id": "tag-1"}, {"type": "x-tags", "id": "tag-2"}]},
                "reviews": {"links": {"related": "/api/v2/x-books/book-1/reviews"}},
                "readers": {"links": {"related": "/api/v2/x-books/book-1/readers"}},
            },
            "links": {"self": "/api/v2/x-books/book-1"},
        }
    }


async def test_t04_a_time_has_milliseconds_and_a_z() -> None:
    book = Book("book-1", bought_at=datetime.fromisoformat("2026-03-04T05:06:07+02:00"))

    assert (await shown(book))["data"]["attributes"]["bought-at"] == "2026-03-04T03:06:07.000Z"


async def test_a_time_without_zone_is_a_bug_and_not_a_guess() -> None:
    with pytest.raises(TypeError):
        await shown(Book("book-1", bought_at=datetime(2026, 3, 4)))


async def test_a_loader_is_asked_once_a_page_for_all_that_live_on_it() -> None:
    query = request()
    query.state.actor = Actor(Kind.USER, "ann", "user-1")
    response = await BookResource.all(query, [Book("book-1"), Book("book-2")])
    document = orjson.loads(response.body)

    assert [one["attributes"]["may-lend"] for one in document["data"]] == [True, True]
    assert [len(one["relationships"]["tags"]["data"]) for one in document["data"]] == [2, 0]
    assert asked == {"rights": 1, "tags": 1}


async def test_a_relation_to_several_types_says_which() -> None:
    document = await shown(Book("book-1", lent_to=Ref("x-libraries", "city")), "include=lent_to")

    assert document["data"]["relationships"]["lent-to"]["data"] == {"type": "x-libraries", "id": "city"}
    assert document["included"] == [{"id": "city", "type": "x-libraries", "attributes": {"external-id": "lib-1"}}]


async def test_t03_included_objects_are_whole_and_there_once() -> None:
    books = [Book("book-1"), Book("book-2"), Book("book-3", shelf_id="shelf-2")]
    document = orjson.loads((await BookResource.all(request("include=shelf,shelf.library"), books)).body)

    assert [(one["type"], one["id"]) for one in document["included"]] == [
        ("x-shelves", "shelf-1"),
        ("x-shelves", "shelf-2"),
        ("x-libraries", "city"),
    ]
    assert document["included"][0]["attributes"] == {"name": "SHELF-1"}
    assert (asked["shelves"], asked["libraries"]) == (1, 1)


@pytest.mark.parametrize("query", ["include=lent-to,shelf.library", "include=lent_to%2Cshelf.library"])
async def test_an_include_may_be_spelt_either_way(query: str) -> None:
    book = Book("book-1", lent_to=Ref("x-libraries", "city"))

    assert {one["type"] for one in (await shown(book, query))["included"]} == {"x-libraries", "x-shelves"}


@pytest.mark.parametrize(
    "query", ["include=nonsense", "include=shelf.nonsense.more", "include=", "include=readers,tags", "include=,,."]
)
async def test_t07_an_unknown_include_is_passed_over(query: str) -> None:
    document = await shown(Book("book-1"), query)

    assert document["data"]["id"] == "book-1"
    assert {one["type"] for one in document["included"]} <= {"x-shelves"}


async def test_what_the_actor_may_not_see_or_is_gone_is_left_out() -> None:
    document = await shown(Book("book-1", shelf_id="shelf-of-others"), "include=shelf")

    assert document["data"]["relationships"]["shelf"]["data"]["id"] == "shelf-of-others"
    assert document["included"] == []


async def test_an_object_at_hand_is_included_without_asking_for_it() -> None:
    document = await shown(Book("book-1", sequel=Book("book-9", title="Emma II")), "include=sequel")

    assert document["data"]["relationships"]["sequel"]["data"] == {"type": "x-books", "id": "book-9"}
    assert document["included"][0]["attributes"]["title"] == "Emma II"
    assert asked["books"] == 0


async def test_what_is_shown_already_is_not_included_too() -> None:
    document = await shown(Book("book-1", sequel="book-1"), "include=sequel,sequel.shelf")

    assert [one["type"] for one in document["included"]] == ["x-shelves"]


async def test_circles_of_includes_end() -> None:
    path = ".".join(["sequel"] * 50)
    document = await shown(Book("book-1", sequel="book-2"), f"include={path}")

    assert [one["id"] for one in document["included"]] == ["book-2"]


async def test_a_relation_may_include_a_variant_of_its_resource() -> None:
    document = await shown(Book("book-1"), "include=dusty")

    assert document["included"][0]["type"] == "x-shelves"
    assert document["included"][0]["attributes"] == {"name": "dusty"}


async def test_a_list_that_is_only_linked_is_read_when_it_is_included() -> None:
    relation = (await shown(Book("book-1"), "include=reviews"))["data"]["relationships"]["reviews"]

    assert relation == {
        "data": [{"type": "x-reviews", "id": "review-1"}],
        "links": {"related": "/api/v2/x-books/book-1/reviews"},
    }


async def test_sparse_fields_leave_attributes_out_and_do_not_load_them() -> None:
    query = "fields[x-books]=title,is_old,nonsense&fields[x-shelves]=none&include=shelf"
    document = await shown(Book("book-1"), query)

    assert document["data"]["attributes"] == {"title": "Emma", "is-old": False}
    assert "shelf" in document["data"]["relationships"]
    assert document["included"][0]["attributes"] == {}
    assert asked["rights"] == 0


async def test_a_status_may_be_given() -> None:
    assert (await BookResource.one(request(), Book("book-1"), status=201)).status_code == 201


def test_a_resource_tells_what_it_is_made_of() -> None:
    lines = {line.name: line for line in described()["x-books"]}

    assert (lines["title"].kind, lines["title"].type, lines["title"].writable) == ("attribute", "str", True)
    assert lines["title"].doc == "What it is called."
    assert (lines["note"].type, lines["note"].readable) == ("str | None", False)
    assert lines["marks"].type == "list[dict[str, str]]"
    assert (lines["lent-to"].kind, lines["lent-to"].type) == ("to one", "x-people or x-libraries")
    assert (lines["tags"].kind, lines["tags"].writable) == ("to many", True)
    assert lines["bought-at"].type == "datetime"
    assert lines["permissions"].type == "any"


def test_a_type_is_declared_once() -> None:
    with pytest.raises(TypeError, match="twice"):
        type("Other", (Resource,), {"type": "x-books"})


def test_a_name_the_machinery_uses_needs_another() -> None:
    with pytest.raises(TypeError, match="name='path'"):
        type("Other", (Resource,), {"type": "x-others", "path": Attribute()})


def test_objects_of_a_type_nobody_declared_are_a_bug() -> None:
    with pytest.raises(TypeError, match="no resource"):
        ToOne("x-nothing").ref(Library("city"))


def test_an_object_is_named_by_its_resources_identity() -> None:
    assert ToOne("x-libraries").ref(Library("city")) == Ref("x-libraries", "city")
    assert ToOne("x-shelves").ref(Shelf("shelf-7", "")) == Ref("x-shelves", "shelf-7")

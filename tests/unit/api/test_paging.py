from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson
import pytest

from app.errors import Invalid
from backend_api.jsonapi import Page, page_of
from tests.unit.api.shelf import Book, BookResource, request


class Query:
    """As much of a Tortoise query set as paging uses, over *total* books."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.slice = (0, 0)

    async def count(self) -> int:
        return self.total

    def offset(self, offset: int) -> Query:
        self.slice = (offset, 0)
        return self

    def limit(self, limit: int) -> Query:
        self.slice = (self.slice[0], limit)
        return self

    def __await__(self) -> Any:
        async def books() -> list[Book]:
            start, size = self.slice
            return [Book(f"book-{n}") for n in range(start, min(start + size, self.total))]

        return books().__await__()


async def listed(query: str, total: int) -> dict[str, Any]:
    document: dict[str, Any] = orjson.loads((await BookResource.page(request(query), Query(total))).body)
    return document


def page_in(link: str) -> dict[str, list[str]]:
    return parse_qs(urlsplit(link).query)


async def test_a_page_in_the_middle_knows_all_others() -> None:
    document = await listed("page%5Bnumber%5D=2&page[size]=10&search[name]=a%26b", 45)

    assert [one["id"] for one in document["data"]] == [f"book-{n}" for n in range(10, 20)]
    assert document["meta"]["pagination"] == {
        "current-page": 2,
        "page-size": 10,
        "prev-page": 1,
        "next-page": 3,
        "total-pages": 5,
        "total-count": 45,
    }
    assert {name: page_in(link)["page[number]"] for name, link in document["links"].items()} == {
        "self": ["2"],
        "first": ["1"],
        "prev": ["1"],
        "next": ["3"],
        "last": ["5"],
    }
    assert document["links"]["next"].startswith("https://localhost:8443/api/v2/x-books?")
    assert page_in(document["links"]["next"])["search[name]"] == ["a&b"]
    assert page_in(document["links"]["next"])["page[size]"] == ["10"]


async def test_links_are_addresses_whatever_the_name_in_them() -> None:
    asked = request(path="/api/v2/x-books/an ünusual name")
    document = orjson.loads((await BookResource.page(asked, Query(1))).body)

    assert urlsplit(document["links"]["self"]).path == "/api/v2/x-books/an%20%C3%BCnusual%20name"


async def test_t25_next_page_is_null_on_the_last_page_and_only_there() -> None:
    seen, number = [], 1
    while number:
        document = await listed(f"page[number]={number}&page[size]=20", 41)
        seen += [one["id"] for one in document["data"]]
        number = document["meta"]["pagination"]["next-page"]

    assert seen == [f"book-{n}" for n in range(41)]
    assert document["links"]["next"] is None


async def test_an_empty_list_is_one_page() -> None:
    document = await listed("", 0)

    assert document["data"] == []
    assert document["meta"]["pagination"] == {
        "current-page": 1,
        "page-size": 20,
        "prev-page": None,
        "next-page": None,
        "total-pages": 1,
        "total-count": 0,
    }


@pytest.mark.parametrize("number", ["7", "9" * 90])
async def test_a_page_past_the_end_is_empty(number: str) -> None:
    document = await listed(f"page[number]={number}", 30)

    assert document["data"] == []
    assert document["meta"]["pagination"]["next-page"] is None
    assert document["meta"]["pagination"]["prev-page"] == 2


@pytest.mark.parametrize(("size", "used"), [("100", 100), ("101", 100), ("100000", 100), ("", 20), ("1", 1)])
def test_a_page_has_100_items_at_most(size: str, used: int) -> None:
    assert page_of(request(f"page[size]={size}")).size == used


@pytest.mark.parametrize("name", ["page[number]", "page[size]"])
@pytest.mark.parametrize("text", ["0", "-1", "1.5", "x", "1_0", "%EF%BC%91", "%201", "9" * 5000])
def test_what_is_no_number_from_1_on_is_refused(name: str, text: str) -> None:
    with pytest.raises(Invalid, match="from 1 on"):
        page_of(request(f"{name}={text}"))


def test_a_whole_list_is_paged_only_if_both_are_asked_for() -> None:
    assert Page.if_asked({"page[number]": "2"}) is None
    assert Page.if_asked({"page[number]": "2", "page[size]": "5"}) == Page(2, 5)


async def test_a_list_nobody_counts_has_no_totals() -> None:
    asked = request("page[number]=2&page[size]=2")
    response = await BookResource.listed_uncounted(asked, [Book("book-3")], Page(2, 2), more=True)
    document = orjson.loads(response.body)

    assert document["meta"]["pagination"] == {
        "current-page": 2,
        "page-size": 2,
        "prev-page": 1,
        "next-page": 3,
    }
    assert set(document["links"]) == {"self", "prev", "next"}

"""Resources for the tests: books on shelves in a library, and their readers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request

from backend_api.jsonapi import Attribute, Ref, Resource, ToMany, ToOne, View

#: How often each loader was asked.
asked: Counter[str] = Counter()


@dataclass
class Library:
    name: str
    id: str = "lib-1"


@dataclass
class Shelf:
    id: str
    name: str
    library_id: str = "city"


@dataclass
class Book:
    id: str
    title: str = "Emma"
    pages: int = 300
    shelf_id: str | None = "shelf-1"
    lent_to: Any = None
    sequel: Any = None
    stamps: dict[str, str] = field(default_factory=dict)
    bought_at: datetime = datetime(2026, 3, 4, 5, 6, 7, 89_123, tzinfo=UTC)


LIBRARIES = {"city": Library("city")}
SHELVES = {name: Shelf(name, name.upper()) for name in ("shelf-1", "shelf-2")}
BOOKS = {name: Book(name) for name in ("book-1", "book-2", "book-3")}


def rights(view: View, books: Sequence[Any]) -> Mapping[str, Any]:
    asked["rights"] += 1
    return {book.id: {"can_lend": view.actor is not None, "can_read_it": True} for book in books}


async def tags(view: View, books: Sequence[Any]) -> Mapping[str, Any]:
    asked["tags"] += 1
    return {book.id: ["tag-1", "tag-2"] for book in books if book.id == "book-1"}


async def reviews(view: View, books: Sequence[Any]) -> Mapping[str, Any]:
    asked["reviews"] += 1
    return {book.id: [Ref("x-reviews", "review-1")] for book in books}


class LibraryResource(Resource):
    type = "x-libraries"
    external_id = Attribute(lambda library: library.id)

    @classmethod
    def identity(cls, thing: Any) -> str:
        return str(thing.name)

    @classmethod
    async def load(cls, view: View, ids: Sequence[str]) -> Iterable[Any]:
        asked["libraries"] += 1
        return [LIBRARIES[id] for id in ids if id in LIBRARIES]


class ShelfResource(Resource):
    type = "x-shelves"
    name = Attribute(type=str)
    library = ToOne("x-libraries")

    @classmethod
    async def load(cls, view: View, ids: Sequence[str]) -> Iterable[Any]:
        asked["shelves"] += 1
        return [SHELVES[id] for id in ids if id in SHELVES]


class DustyShelfResource(ShelfResource, variant=True):
    name = Attribute(lambda shelf: "dusty")


class PersonResource(Resource):
    type = "x-people"


class BookResource(Resource):
    type = "x-books"
    path = "/api/v2/x-books/{id}"

    title = Attribute(type=str, writable=True, doc="What it is called.")
    pages = Attribute(type=int, writable=True)
    is_old = Attribute(lambda book: book.pages > 1000, type=bool, writable=True)
    note = Attribute(type=str | None, writable=True, readable=False)
    marks = Attribute(lambda book: [], type=list[dict[str, str]], writable=True)
    kind = Attribute(lambda book: "novel", name="type", type=str, writable=True)
    permissions = Attribute(loader=rights, dashed_keys=True)
    may_lend = Attribute(lambda found: found["can_lend"], loader=rights)
    stamps = Attribute(dashed_keys=True)
    bought_at = Attribute(type=datetime)
    shelf = ToOne("x-shelves", writable=True)
    dusty = ToOne("x-shelves", lambda book: book.shelf_id, resource=lambda: DustyShelfResource)
    lent_to = ToOne(("x-people", "x-libraries"), lambda book: book.lent_to, writable=True)
    sequel = ToOne("x-books", lambda book: book.sequel)
    tags = ToMany("x-tags", loader=tags, writable=True, members={"name": str})
    reviews = ToMany("x-reviews", loader=reviews, related="/api/v2/x-books/{id}/reviews")
    readers = ToMany("x-people", related="/api/v2/x-books/{id}/readers")

    @classmethod
    async def load(cls, view: View, ids: Sequence[str]) -> Iterable[Any]:
        asked["books"] += 1
        return [BOOKS[id] for id in ids if id in BOOKS]


def request(query: str = "", body: bytes = b"", path: str = "/api/v2/x-books") -> Request:
    async def receive() -> Any:
        return {"type": "http.request", "body": body}

    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "query_string": query.encode(),
        "headers": [],
        "state": {},
    }
    return Request(scope, receive)

"""Which page of a list was asked for, and where the others are."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from app.errors import Invalid

if TYPE_CHECKING:
    from backend_api.jsonapi.documents import View

DEFAULT_SIZE = 20
LARGEST_SIZE = 100
_NUMBER = re.compile(r"[0-9]{1,100}")
#: So far that no list has it, and near enough that its offset is a number every database takes.
_FAR = 10**12


@dataclass(frozen=True)
class Page:
    number: int = 1
    size: int = DEFAULT_SIZE

    @classmethod
    def of(cls, query: Mapping[str, str], largest: int = LARGEST_SIZE) -> Page:
        number = _number(query, "page[number]", 1)
        size = _number(query, "page[size]", DEFAULT_SIZE)
        return cls(min(number, _FAR), min(size, largest))

    @classmethod
    def if_asked(cls, query: Mapping[str, str], largest: int = LARGEST_SIZE) -> Page | None:
        """The page, for lists that are whole unless number and size are both given."""
        asked = "page[number]" in query and "page[size]" in query
        return cls.of(query, largest) if asked else None

    @property
    def offset(self) -> int:
        return (self.number - 1) * self.size


def frame(view: View, page: Page, total: int) -> dict[str, Any]:
    """``links`` and ``meta`` of a page out of *total* items.

    ``next-page`` is a number as long as pages are left: clients ask until the last one, and would ask for
    ever.
    """
    last = max(1, -(-total // page.size))
    previous = min(page.number - 1, last) or None
    following = page.number + 1 if page.number < last else None
    figures = {
        "current-page": page.number,
        "page-size": page.size,
        "prev-page": previous,
        "next-page": following,
        "total-pages": last,
        "total-count": total,
    }
    places = {"self": page.number, "first": 1, "prev": previous, "next": following, "last": last}
    return {"links": _links(view, page, places), "meta": {"pagination": figures}}


def uncounted_frame(view: View, page: Page, *, more: bool) -> dict[str, Any]:
    """The same for a list too long to be counted: *more* says whether another page follows."""
    previous = page.number - 1 or None
    following = page.number + 1 if more else None
    figures = {
        "current-page": page.number,
        "page-size": page.size,
        "prev-page": previous,
        "next-page": following,
    }
    places = {"self": page.number, "prev": previous, "next": following}
    return {"links": _links(view, page, places), "meta": {"pagination": figures}}


def _links(view: View, page: Page, places: Mapping[str, int | None]) -> dict[str, str | None]:
    kept = [(key, value) for key, value in view.query_items if key not in ("page[number]", "page[size]")]

    def link(number: int) -> str:
        return f"{view.url}?{urlencode([*kept, ('page[number]', number), ('page[size]', page.size)])}"

    return {name: link(number) if number else None for name, number in places.items()}


def _number(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name)
    if not text:
        return default
    if not _NUMBER.fullmatch(text) or not (number := int(text)):
        raise Invalid(f"{name} must be a number from 1 on.", parameter=name)
    return number

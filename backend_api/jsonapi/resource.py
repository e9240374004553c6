"""A resource of the API, declared once.

Reading a body, writing a document, ``include``, the 422 that points at the fault, and the table of attributes
in the documentation all come from the class.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, get_args

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from app import settings
from backend_api.errors import ATTRIBUTES_AT
from backend_api.jsonapi import documents, incoming, paging
from backend_api.jsonapi.declarations import RESOURCES, Attribute, Declared, Ref, Relation, ToOne
from backend_api.jsonapi.documents import View
from backend_api.jsonapi.incoming import Incoming
from backend_api.jsonapi.paging import Page

Struct = type[msgspec.Struct]


@dataclass(frozen=True)
class Described:
    """A line of the documentation: one attribute or relation."""

    name: str
    kind: str
    type: str
    writable: bool
    readable: bool
    doc: str


class Resource:
    """Subclass it, say `type`, and declare `Attribute`, `ToOne` and `ToMany`.

    A subclass of a resource with ``variant=True`` keeps its type and does not take its place: for the
    few documents in which a resource looks different.
    """

    type: ClassVar[str]
    #: Where one is found, for its ``self`` link: ``/api/v2/runs/{id}``.
    path: ClassVar[str | None] = None

    readable: ClassVar[tuple[Attribute, ...]] = ()
    writable: ClassVar[tuple[Attribute, ...]] = ()
    relations: ClassVar[tuple[Relation, ...]] = ()
    #: Each declared name of the code, as the wire spells it.
    wires: ClassVar[Mapping[str, str]] = {}
    #: What may be written, for msgspec.
    struct: ClassVar[Struct]

    def __init_subclass__(cls, *, variant: bool = False) -> None:
        declared = list(_declared(cls))
        for one in declared:
            if hasattr(Resource, one.name):
                raise TypeError(f"{cls.__name__}.{one.name} needs another name, and name={one.wire!r}")
        attributes = [one for one in declared if isinstance(one, Attribute)]
        cls.readable = tuple(one for one in attributes if one.readable)
        cls.writable = tuple(one for one in attributes if one.writable)
        cls.relations = tuple(one for one in declared if isinstance(one, Relation))
        cls.wires = {one.name: one.wire for one in declared}
        cls.struct = incoming.attributes_struct(
            cls.__name__,
            {one.name: one.type for one in cls.writable},
            {one.name: one.wire for one in cls.writable},
        )
        if not variant:
            if cls.type in RESOURCES:
                raise TypeError(f"{cls.type} is declared twice: {RESOURCES[cls.type]}, {cls}")
            RESOURCES[cls.type] = cls

    @classmethod
    def identity(cls, thing: Any) -> str:
        """The id of *thing* on the wire, by which `load` is asked for it."""
        return str(thing.id)

    @classmethod
    async def load(cls, view: View, ids: Sequence[str]) -> Iterable[Any]:
        """Those of *ids* that `view.actor` may see, to be included.  None, unless a class says more."""
        return ()

    @classmethod
    def links(cls, view: View, thing: Any) -> Mapping[str, str | None]:
        return {"self": cls.path.format(id=cls.identity(thing))} if cls.path else {}

    # -- out -------------------------------------------------------------------------------------------------

    @classmethod
    async def one(cls, request: Request, thing: Any, status: int = 200) -> Response:
        """The answer that shows *thing*."""
        return documents.response(await documents.single(View.of(request), cls, thing), status)

    @classmethod
    async def all(cls, request: Request, things: Sequence[Any], status: int = 200) -> Response:
        """The answer that lists *things*, whatever page was asked for."""
        return documents.response(await documents.several(View.of(request), cls, things), status)

    @classmethod
    async def page(cls, request: Request, query: Any) -> Response:
        """The answer with the page of *query* (a Tortoise query set, ordered) that was asked for."""
        page = page_of(request)
        total = await query.count()
        things = await query.offset(page.offset).limit(page.size) if page.offset < total else []
        return await cls.listed(request, things, page, total)

    @classmethod
    async def listed(cls, request: Request, things: Sequence[Any], page: Page, total: int) -> Response:
        """The answer with *things*, which are *page* out of *total*."""
        view = View.of(request)
        document = await documents.several(view, cls, things)
        return documents.response(document | paging.frame(view, page, total))

    @classmethod
    async def listed_uncounted(cls, request: Request, things: Sequence[Any], page: Page, *, more: bool) -> Response:
        """The answer with *things*, which are *page* of a list nobody counts."""
        view = View.of(request)
        document = await documents.several(view, cls, things)
        return documents.response(document | paging.uncounted_frame(view, page, more=more))

    # -- in --------------------------------------------------------------------------------------------------

    @classmethod
    async def read(
        cls,
        request: Request,
        *,
        required: Iterable[str] = (),
        any_type: bool = False,
        may_be_empty: bool = False,
    ) -> Incoming:
        """What the request's document says; see `incoming.document`."""
        body = await request.body()
        return incoming.document(cls, body, required=required, any_type=any_type, may_be_empty=may_be_empty)

    @classmethod
    async def read_list(cls, request: Request, *, required: Iterable[str] = ()) -> list[Incoming]:
        return incoming.documents(cls, await request.body(), required=required)

    @classmethod
    async def read_members(cls, request: Request, name: str) -> Ref | list[Ref] | None:
        """What a request to ``…/relationships/NAME`` says the relation *name* is."""
        relation = next(one for one in cls.relations if one.name == name)
        return incoming.members(relation, await request.body())

    # -- documentation ---------------------------------------------------------------------------------------

    @classmethod
    def describe(cls) -> list[Described]:
        attributes = {one.wire: one for one in (*cls.readable, *cls.writable)}
        return [
            *(
                Described(one.wire, "attribute", _shown(one.type), one.writable, one.readable, one.doc)
                for one in attributes.values()
            ),
            *(
                Described(
                    one.wire,
                    "to one" if isinstance(one, ToOne) else "to many",
                    " or ".join(one.types),
                    one.writable,
                    True,
                    one.doc,
                )
                for one in cls.relations
            ),
        ]


def page_of(request: Request) -> Page:
    return Page.of(request.query_params, settings.current().max_page_size)


async def read_action(request: Request, **types: Any) -> dict[str, Any]:
    """The members of an action's body by name, those that were sent: ``read_action(request, comment=str)``."""
    sent, where = incoming.action(await request.body(), **types)
    setattr(request.state, ATTRIBUTES_AT, where)
    return sent


def described() -> dict[str, list[Described]]:
    """Every resource's attributes and relations, by type."""
    return {type: RESOURCES[type].describe() for type in sorted(RESOURCES)}


def _declared(cls: type) -> Iterator[Declared]:
    """What *cls* and its ancestors declare, a later declaration of a name in the place of an earlier one."""
    found: dict[str, Any] = {}
    for ancestor in reversed(cls.__mro__):
        found |= vars(ancestor)
    return (one for one in found.values() if isinstance(one, Declared))


def _shown(kind: Any) -> str:
    if kind is Any:
        return "any"
    return str(getattr(kind, "__name__", "") if not get_args(kind) else kind).replace("typing.", "")

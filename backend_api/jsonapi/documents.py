"""Builds documents: the resources asked for, those they include, and nothing twice."""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import orjson
from starlette.requests import Request
from starlette.responses import Response

from app import clock
from app.http.refusals import JSON_API
from backend_api import authentication
from backend_api.jsonapi.declarations import Attribute, Getter, Loader, Ref, Relation
from backend_api.names import dashed, underscored

if TYPE_CHECKING:
    from backend_api.jsonapi.resource import Resource

#: Include paths as a tree: ``workspace,plan,workspace.project`` is {workspace: {project: {}}, plan: {}}.
Paths = dict[str, "Paths"]

#: Relations one behind the other that are followed; each costs a query.
DEEPEST_INCLUDE = 5


@dataclass
class View:
    """What a document depends on besides its objects: who looks, from where, and what was asked for."""

    actor: Any = None
    base_url: str = ""
    path: str = ""
    query_items: Sequence[tuple[str, str]] = ()
    include: Paths = field(default_factory=dict)
    fields: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, request: Request) -> View:
        query = request.query_params.multi_items() if request.scope["query_string"] else []
        return cls(
            actor=getattr(request.state, "actor", None),
            base_url=authentication.base_url(request),
            path=quote(request.scope["path"]),
            query_items=query,
            include=include_paths(value for key, value in query if key == "include"),
            fields={
                key[7:-1]: frozenset(dashed(name.strip()) for name in value.split(","))
                for key, value in query
                if key.startswith("fields[") and key.endswith("]")
            },
        )

    @property
    def url(self) -> str:
        return self.base_url + self.path


def include_paths(values: Iterable[str]) -> Paths:
    paths: Paths = {}
    for value in values:
        for path in value.split(","):
            at = paths
            for name in path.split(".")[:DEEPEST_INCLUDE]:
                at = at.setdefault(underscored(name.strip()), {})
    return paths


async def single(view: View, resource: type[Resource], thing: Any) -> dict[str, Any]:
    document = _Document(view, resource)
    [data] = await document.primary([thing])
    return {"data": data, **await document.included()}


async def several(view: View, resource: type[Resource], things: Sequence[Any]) -> dict[str, Any]:
    document = _Document(view, resource)
    data = await document.primary(things)
    return {"data": data, **await document.included()}


def response(document: Mapping[str, Any], status: int = 200) -> Response:
    body = orjson.dumps(document, _plain, orjson.OPT_PASSTHROUGH_DATETIME)
    return Response(body, status, media_type=JSON_API)


@dataclass
class _Batch:
    """Resources of one class to be rendered together, and what is to be followed from them."""

    things: dict[str, Any] = field(default_factory=dict)
    paths: Paths = field(default_factory=dict)


class _Sheet:
    """What is read of each object of a class, sorted by how: most are columns, and those are read all at once."""

    def __init__(self, resource: type[Resource], attributes: Sequence[Attribute], paths: Collection[str]) -> None:
        columns = {a.wire: a.column for a in attributes if a.column and not a.dashed_keys}
        self.wires = tuple(columns)
        self.values = _all_of(tuple(columns.values()))
        self.others = [a for a in attributes if a.wire not in columns]
        self.relations = [r for r in resource.relations if r.is_read(included=r.name in paths)]
        self.linked = [(r.wire, r.related) for r in resource.relations if r.related]
        loaders = (one.loader for one in (*self.others, *self.relations) if one.loader is not None)
        self.loaders = tuple(dict.fromkeys(loaders))


def _all_of(names: Sequence[str]) -> Callable[[Any], Sequence[Any]]:
    """A reader of several attributes at once."""
    if len(names) > 1:
        return operator.attrgetter(*names)
    return lambda thing: [getattr(thing, name) for name in names]


#: Those for who asked for neither less nor more.
_usual_sheets: dict[type[Resource], _Sheet] = {}


class _Document:
    def __init__(self, view: View, resource: type[Resource]) -> None:
        self._view = view
        self._resource = resource
        self._rendered: dict[tuple[str, str], dict[str, Any]] = {}
        self._primary: set[tuple[str, str]] = set()
        self._next: dict[type[Resource], _Batch] = {}

    async def primary(self, things: Sequence[Any]) -> list[dict[str, Any]]:
        data = await self._render(self._resource, things, self._view.include)
        self._primary = {(one["type"], one["id"]) for one in data}
        return data

    async def included(self) -> dict[str, Any]:
        """Follow the include paths level by level, one query a type."""
        if not self._view.include:
            return {}
        while self._next:
            level, self._next = self._next, {}
            for resource, batch in level.items():
                await self._load(resource, batch)
                things = [thing for thing in batch.things.values() if thing is not None]
                for one in await self._render(resource, things, batch.paths):
                    self._rendered[one["type"], one["id"]] = one
        return {"included": [one for key, one in self._rendered.items() if key not in self._primary]}

    async def _load(self, resource: type[Resource], batch: _Batch) -> None:
        missing = [id for id, thing in batch.things.items() if thing is None]
        if missing:
            for thing in await resource.load(self._view, missing):
                batch.things[resource.identity(thing)] = thing

    async def _render(self, resource: type[Resource], things: Sequence[Any], paths: Paths) -> list[dict[str, Any]]:
        if not things:
            return []
        view = self._view
        sheet = self._sheet(resource, paths)
        loaded = await _load_all(view, things, sheet.loaders)
        attributes = [(one.wire, one.reader(loaded)) for one in sheet.others]
        relations = [(one, one.reader(loaded), paths.get(one.name)) for one in sheet.relations]
        return [self._one(resource, thing, sheet, attributes, relations) for thing in things]

    def _sheet(self, resource: type[Resource], paths: Paths) -> _Sheet:
        wanted = self._view.fields.get(resource.type)
        if wanted is None and not paths:
            if resource not in _usual_sheets:
                _usual_sheets[resource] = _Sheet(resource, resource.readable, ())
            return _usual_sheets[resource]
        return _Sheet(resource, [a for a in resource.readable if wanted is None or a.wire in wanted], paths)

    def _one(
        self,
        resource: type[Resource],
        thing: Any,
        sheet: _Sheet,
        attributes: list[tuple[str, Getter]],
        relations: list[tuple[Relation, Getter, Paths | None]],
    ) -> dict[str, Any]:
        id = resource.identity(thing)
        values: dict[str, Any] = dict(zip(sheet.wires, sheet.values(thing), strict=True))
        for wire, read in attributes:
            values[wire] = read(thing)
        one: dict[str, Any] = {"id": id, "type": resource.type, "attributes": values}
        related: dict[str, Any] = {
            relation.wire: {"data": self._linkage(relation, read(thing), follow)}
            for relation, read, follow in relations
        }
        for wire, path in sheet.linked:
            related.setdefault(wire, {})["links"] = {"related": path.format(id=id)}
        if related:
            one["relationships"] = related
        links = resource.links(self._view, thing)
        if links:
            one["links"] = links
        return one

    def _linkage(self, relation: Relation, value: Any, follow: Paths | None) -> Any:
        if follow is None and type(value) is str:  # most are, and nobody asked for more
            return {"type": relation.types[0], "id": value}
        if relation.many:
            return [self._linked(relation, item, follow) for item in value or ()]
        return None if value is None else self._linked(relation, value, follow)

    def _linked(self, relation: Relation, value: Any, follow: Paths | None) -> dict[str, str]:
        ref = relation.ref(value)
        assert ref.id is not None
        if follow is not None:
            thing = None if isinstance(value, (str, Ref)) else value
            self._follow(relation.resource(ref.type), ref.type, ref.id, thing, follow)
        return {"type": ref.type, "id": ref.id}

    def _follow(self, resource: type[Resource] | None, type: str, id: str, thing: Any, paths: Paths) -> None:
        if resource is None or ((type, id) in self._rendered and not paths):
            return
        batch = self._next.setdefault(resource, _Batch())
        batch.things[id] = thing if thing is not None else batch.things.get(id)
        batch.paths = _merged(batch.paths, paths)


async def _load_all(view: View, things: Sequence[Any], loaders: Collection[Loader]) -> dict[Loader, Mapping[str, Any]]:
    """Ask each loader once, however many attributes live on it."""
    loaded: dict[Loader, Mapping[str, Any]] = {}
    for loader in loaders:
        found = loader(view, things)
        loaded[loader] = await found if inspect.isawaitable(found) else found
    return loaded


def _merged(one: Paths, other: Paths) -> Paths:
    if not one or not other:
        return one or other
    return {name: _merged(one.get(name, {}), other.get(name, {})) for name in {**one, **other}}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return clock.wire(value)
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    raise TypeError(f"a document cannot hold a {type(value).__name__}")

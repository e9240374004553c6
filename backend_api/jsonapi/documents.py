"""Builds documents: the resources asked for, those they include, and nothing twice."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
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
from backend_api.jsonapi.declarations import Attribute, Declared, Getter, Loader, Ref, Relation
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
        wanted = view.fields.get(resource.type)
        attributes = [a for a in resource.readable if wanted is None or a.wire in wanted]
        relations = [r for r in resource.relations if r.is_read(included=r.name in paths)]
        loaded = await _load_all(view, things, [*attributes, *relations])
        read_attributes = _readers(attributes, loaded)
        read_relations = [(r, r.reader(loaded), paths.get(r.name)) for r in relations]
        linked = [r for r in resource.relations if r.related]
        return [self._one(resource, thing, read_attributes, read_relations, linked) for thing in things]

    def _one(
        self,
        resource: type[Resource],
        thing: Any,
        attributes: list[tuple[str, Getter]],
        relations: list[tuple[Relation, Getter, Paths | None]],
        linked: list[Relation],
    ) -> dict[str, Any]:
        id = resource.identity(thing)
        one: dict[str, Any] = {
            "id": id,
            "type": resource.type,
            "attributes": {wire: read(thing) for wire, read in attributes},
        }
        related: dict[str, Any] = {
            relation.wire: {"data": self._linkage(relation, read(thing), follow)}
            for relation, read, follow in relations
        }
        for relation in linked:
            assert relation.related
            related.setdefault(relation.wire, {})["links"] = {"related": relation.related.format(id=id)}
        if related:
            one["relationships"] = related
        links = resource.links(self._view, thing)
        if links:
            one["links"] = links
        return one

    def _linkage(self, relation: Relation, value: Any, follow: Paths | None) -> Any:
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


async def _load_all(view: View, things: Sequence[Any], declared: Iterable[Declared]) -> dict[Loader, Mapping[str, Any]]:
    """Ask each loader once, however many attributes live on it."""
    loaded: dict[Loader, Mapping[str, Any]] = {}
    for one in declared:
        if one.loader is not None and one.loader not in loaded:
            found = one.loader(view, things)
            loaded[one.loader] = await found if inspect.isawaitable(found) else found
    return loaded


def _readers(attributes: Iterable[Attribute], loaded: Mapping[Loader, Mapping[str, Any]]) -> list[tuple[str, Getter]]:
    return [(attribute.wire, attribute.reader(loaded)) for attribute in attributes]


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

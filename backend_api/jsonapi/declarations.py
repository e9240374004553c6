"""What a resource is made of: attributes, and relations to one or to many."""

from __future__ import annotations

import operator
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from backend_api.names import dashed

if TYPE_CHECKING:
    from backend_api.jsonapi.documents import View
    from backend_api.jsonapi.resource import Resource

Getter = Callable[[Any], Any]
#: Asked once for all objects of a page: from each object's ``id`` to its value.  Who is left out has None.
Loader = Callable[["View", Sequence[Any]], Mapping[str, Any] | Awaitable[Mapping[str, Any]]]

#: Every resource by its type; a relation finds its target here when it is first included.
RESOURCES: dict[str, type[Resource]] = {}


@dataclass(frozen=True)
class Ref:
    """One end of a relation.  Coming in, a member to be made (a tag) has attributes and no id."""

    type: str
    id: str | None
    attributes: Mapping[str, Any] = field(default_factory=dict)


class Declared:
    """What attributes and relations share: a name in the code and on the wire, and where the value comes from.

    *getter* takes the object, or what *loader* found for it.  *name* is what the wire says where that is not
    the code's name with hyphens.
    """

    def __init__(
        self, getter: Getter | None, loader: Loader | None, *, name: str | None, writable: bool, doc: str
    ) -> None:
        self.getter = getter
        self.loader = loader
        self.writable = writable
        self.doc = doc
        self.wire = name or ""
        self.name = ""
        self.column: str | None = None
        """The object's own attribute whose value is taken as it is."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name
        self.wire = self.wire or dashed(name)
        if self.getter is None and self.loader is None:
            self.getter = self._default_getter(name)
            self.column = name

    def _default_getter(self, name: str) -> Getter | None:
        return operator.attrgetter(name)

    @cached_property
    def direct(self) -> Getter:
        """The reader of what needs no loader: the same for every page."""
        assert self.getter
        return self.getter

    def reader(self, loaded: Mapping[Loader, Mapping[str, Any]]) -> Getter:
        """A function from an object to the value here, *loaded* being what the page's loaders found."""
        if self.loader is None:
            return self.direct
        found, getter = loaded[self.loader], self.getter
        if getter is None:
            return lambda thing: found.get(thing.id)
        return lambda thing: getter(found.get(thing.id))


class Attribute(Declared):
    """A value of the resource.

    *type* is what a request may send, and what the documents say: any type msgspec knows.  A *writable* one is
    taken from requests; one that is not *readable* only is (a secret).  *dashed_keys* is for values whose
    keys are ours and belong on the wire with hyphens (permissions, timestamps), not for what users wrote.
    """

    def __init__(
        self,
        getter: Getter | None = None,
        *,
        type: Any = Any,
        loader: Loader | None = None,
        writable: bool = False,
        readable: bool = True,
        name: str | None = None,
        dashed_keys: bool = False,
        doc: str = "",
    ) -> None:
        super().__init__(getter, loader, name=name, writable=writable, doc=doc)
        self.type = type
        self.readable = readable
        self.dashed_keys = dashed_keys

    @cached_property
    def direct(self) -> Getter:
        return self._dashing(super().direct)

    def reader(self, loaded: Mapping[Loader, Mapping[str, Any]]) -> Getter:
        return self.direct if self.loader is None else self._dashing(super().reader(loaded))

    def _dashing(self, read: Getter) -> Getter:
        return (lambda thing: with_dashes(read(thing))) if self.dashed_keys else read


class Relation(Declared):
    """A relation to resources of *type*, or of several types where what is read are `Ref`s.

    What getter or loader give is an id, a `Ref` or the object itself, which an include then need not load.
    *related* is a path (``/api/v2/runs/{id}/comments``) that finds them; with a loader beside it the
    relation is read only when it is included.  *resource* chooses another class than the type's own.
    """

    many = False

    def __init__(
        self,
        type: str | tuple[str, ...],
        getter: Getter | None = None,
        *,
        loader: Loader | None = None,
        writable: bool = False,
        name: str | None = None,
        related: str | None = None,
        resource: Callable[[], type[Resource]] | None = None,
        doc: str = "",
    ) -> None:
        super().__init__(getter, loader, name=name, writable=writable, doc=doc)
        self.types = (type,) if isinstance(type, str) else type
        self.related = related
        self._resource = resource

    def is_read(self, *, included: bool) -> bool:
        if self.loader is not None:
            return included or self.related is None
        return self.getter is not None

    def resource(self, type: str) -> type[Resource] | None:
        return self._resource() if self._resource else RESOURCES.get(type)

    def ref(self, value: Any) -> Ref:
        if isinstance(value, Ref):
            return value
        if isinstance(value, str):
            return Ref(self.types[0], value)
        resource = self.resource(self.types[0])
        if resource is None:
            raise TypeError(f"{self.wire} gives {type(value).__name__}, and {self.types[0]} is no resource")
        return Ref(resource.type, resource.identity(value))


class ToOne(Relation):
    """To one or none.  By default read from the column ``NAME_id``."""

    def _default_getter(self, name: str) -> Getter | None:
        return None if self.related else operator.attrgetter(f"{name}_id")


class ToMany(Relation):
    """To any number.  *members* are attributes a request may give instead of an id, to make a member."""

    many = True

    def __init__(
        self,
        type: str | tuple[str, ...],
        getter: Getter | None = None,
        *,
        members: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(type, getter, **more)
        self.members = members

    def _default_getter(self, name: str) -> Getter | None:
        return None if self.related else operator.attrgetter(name)


def with_dashes(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {dashed(key): with_dashes(item) for key, item in value.items()}
    return value

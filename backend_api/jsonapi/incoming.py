"""Reads what clients send: documents, lists of members, and the small bodies of actions.

Keys may come with hyphens or underscores.  What a class does not declare as writable is passed over, for
clients send back whole documents; what it declares must be of its type.
"""

from __future__ import annotations

import functools
import json
import operator
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, get_args

import msgspec

from app.errors import Invalid
from backend_api.errors import DOCUMENT, BadRequest
from backend_api.jsonapi.declarations import Ref, Relation, ToMany
from backend_api.names import dashed, underscored

if TYPE_CHECKING:
    from backend_api.jsonapi.resource import Resource

#: What every database's largest integer column takes.
Integer = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
DEEPEST = 64

_AT = re.compile(r"(?s)(.*?)(?: - at `(?:key in )?\$([^`]*)`)?")
_STEP = re.compile(r"\.([^.\[]+)|\[(\d+)\]")


@dataclass(frozen=True)
class Incoming:
    """What a request's document says, by the names of the code; only what was sent is there."""

    id: str | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    relations: Mapping[str, Ref | list[Ref] | None] = field(default_factory=dict)

    def __contains__(self, name: str) -> bool:
        return name in self.attributes or name in self.relations

    def id_of(self, relation: str) -> str:
        """The id that *relation*, which was sent, names.  Raises Invalid if it names none."""
        ref = self.relations[relation]
        if not isinstance(ref, Ref) or ref.id is None:
            raise Invalid("The relation must name an id.", field=f"/data/relationships/{dashed(relation)}/data")
        return ref.id

    def get(self, name: str, default: Any = None) -> Any:
        return self.attributes[name] if name in self.attributes else self.relations.get(name, default)


def document(
    resource: type[Resource],
    body: bytes,
    *,
    required: Iterable[str] = (),
    any_type: bool = False,
    may_be_empty: bool = False,
) -> Incoming:
    """The resource a body describes.

    *required* attributes and relations must be there; *any_type* takes whatever ``data.type`` says (the CLI
    sends "" when it locks).
    """
    if may_be_empty and not body.strip():
        return Incoming()
    return _incoming(resource, _data(body), "/data", required, any_type)


def documents(resource: type[Resource], body: bytes, *, required: Iterable[str] = ()) -> list[Incoming]:
    """The resources a body describes in a list."""
    data = _data(body)
    if not isinstance(data, list):
        raise Invalid(f'"data" must be a list of {resource.type}.', field="/data")
    return [_incoming(resource, one, f"/data/{at}", required, False) for at, one in enumerate(data)]


def members(relation: Relation, body: bytes) -> Ref | list[Ref] | None:
    """What the body of a ``…/relationships/NAME`` request says *relation* is."""
    return _relation(relation, {"data": _data(body)}, "")


def action(body: bytes, **types: Any) -> tuple[dict[str, Any], str]:
    """The members of an action's body, which may be empty, plain (``{"comment": "…"}``) or a document, and the pointer
    to where they lie in it.

    Those not sent are left out.
    """
    if not body.strip():
        return {}, ""
    sent = _json(body)
    if not isinstance(sent, dict):
        raise Invalid("The body of an action is a JSON object, or empty.", field="")
    data = sent.get("data")
    where = DOCUMENT if isinstance(data, dict) else ""
    given = data.get("attributes") or {} if isinstance(data, dict) else sent
    wires = {name: dashed(name) for name in types}
    return _typed(_struct("Action", tuple(types.items()), tuple(wires.items())), given, where), where


def _data(body: bytes) -> Any:
    sent = _json(body) if body.strip() else None
    if not isinstance(sent, dict) or sent.get("data") is None:
        raise Invalid('The body must be a JSON object with the member "data".', field="/data")
    return sent["data"]


def _json(body: bytes) -> Any:
    try:
        value = msgspec.json.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise BadRequest(f"The body is not JSON that can be read: {_half(body) or error}.") from None
    if b"\\u0000" in body or body.count(b"[") + body.count(b"{") > DEEPEST:
        _check(value, 0)
    return value


def _half(body: bytes) -> str | None:
    """What is wrong with *body* if it escapes half of a surrogate pair, which msgspec calls truncated."""
    try:
        json.dumps(json.loads(body), ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        return f"\\u{ord(error.object[error.start]):04x} is half of a surrogate pair and stands for no character"
    except (ValueError, RecursionError):
        pass  # something else is wrong as well
    return None


def _check(value: Any, depth: int) -> None:
    """What is valid JSON, and no database or encoder takes."""
    if depth > DEEPEST:
        raise Invalid(f"The body is nested more than {DEEPEST} levels deep.", field="/data")
    if isinstance(value, str):
        if "\0" in value:
            raise Invalid("The body has a NUL character in a text.", field="/data")
    elif isinstance(value, list):
        for item in value:
            _check(item, depth + 1)
    elif isinstance(value, dict):
        for key, item in value.items():
            _check(key, depth)
            _check(item, depth + 1)


def _incoming(resource: type[Resource], data: Any, at: str, required: Iterable[str], any_type: bool) -> Incoming:
    if not isinstance(data, dict):
        raise Invalid(f'"data" must be one object of type "{resource.type}".', field=at)
    sent_type = data.get("type")
    if not any_type and sent_type != resource.type:
        shown = f'is "{sent_type[:60]}"' if isinstance(sent_type, str) else "is missing"
        raise Invalid(f'The type {shown}; "{resource.type}" is expected here.', field=f"{at}/type")
    id = data.get("id")
    if id is not None and not isinstance(id, str):
        raise Invalid("The id must be a string.", field=f"{at}/id")
    attributes = _typed(resource.struct, data.get("attributes") or {}, f"{at}/attributes")
    relations = _relations(resource, data.get("relationships") or {}, f"{at}/relationships")
    for name in required:
        if name not in attributes and name not in relations:
            _missing(resource, name, at)
    return Incoming(id, attributes, relations)


def _missing(resource: type[Resource], name: str, at: str) -> None:
    relation = next((r for r in resource.relations if r.name == name), None)
    kind, wire = ("relationships", relation.wire) if relation else ("attributes", resource.wires[name])
    raise Invalid(f"{wire} is missing.", field=f"{at}/{kind}/{wire}")


def _typed(struct: type[msgspec.Struct], sent: Any, at: str) -> dict[str, Any]:
    if not isinstance(sent, dict):
        raise Invalid("The attributes must be an object.", field=at)
    keys = {underscored(key): key for key in sent}
    try:
        made = msgspec.convert({short: sent[key] for short, key in keys.items()}, struct)
    except msgspec.ValidationError as error:
        raise _mistyped(str(error), keys, at) from None
    values = ((name, getattr(made, name)) for name in struct.__struct_fields__)
    return {name: value for name, value in values if value is not msgspec.UNSET}


def _mistyped(message: str, keys: Mapping[str, str], at: str) -> Invalid:
    """From ``Expected `bool`, got `str` - at `$.auto_apply``` to a sentence and a pointer."""
    found = _AT.fullmatch(message)
    said, path = (found[1], found[2] or "") if found else (message, "")
    steps = [step[1] or step[2] for step in _STEP.finditer(path.partition("[...]")[0])]
    if steps:
        steps[0] = keys.get(steps[0], steps[0])
    about = steps[0] if steps else "The attributes"
    said = said.replace("`", "").rstrip(".")
    return Invalid(f"{about}: {said[:1].lower()}{said[1:]}.", field="/".join([at, *steps]))


def _relations(resource: type[Resource], sent: Any, at: str) -> dict[str, Ref | list[Ref] | None]:
    if not isinstance(sent, dict):
        raise Invalid("The relationships must be an object.", field=at)
    known = {underscored(relation.wire): relation for relation in resource.relations if relation.writable}
    given = ((known.get(underscored(key)), key, value) for key, value in sent.items())
    return {r.name: _relation(r, value, f"{at}/{key}") for r, key, value in given if r is not None}


def _relation(relation: Relation, sent: Any, at: str) -> Ref | list[Ref] | None:
    if not isinstance(sent, dict) or "data" not in sent:
        raise Invalid(f'{relation.wire} must be an object with the member "data".', field=at)
    data = sent["data"]
    if not isinstance(relation, ToMany):
        return None if data is None else _ref(relation, data, f"{at}/data")
    if data is None:
        return []
    if not isinstance(data, list):
        raise Invalid(f"{relation.wire} must be a list.", field=f"{at}/data")
    return [_ref(relation, one, f"{at}/data/{number}") for number, one in enumerate(data)]


def _ref(relation: Relation, sent: Any, at: str) -> Ref:
    expected = " or ".join(f'"{name}"' for name in relation.types)
    if not isinstance(sent, dict):
        raise Invalid(f"{relation.wire} must name a resource of type {expected}.", field=at)
    if sent.get("type") not in relation.types:
        raise Invalid(f"{relation.wire} must be of type {expected}.", field=f"{at}/type")
    id = sent.get("id")
    attributes: dict[str, Any] = {}
    if isinstance(relation, ToMany) and relation.members:
        struct = member_struct(relation)
        attributes = _typed(struct, sent.get("attributes") or {}, f"{at}/attributes")
    if not (isinstance(id, str) and id) and not (id is None and attributes):
        raise Invalid(f"{relation.wire} must name a resource by its id.", field=f"{at}/id")
    return Ref(sent["type"], id, attributes)


def member_struct(relation: ToMany) -> type[msgspec.Struct]:
    types = relation.members or {}
    wires = {name: dashed(name) for name in types}
    return _struct("Member", tuple(types.items()), tuple(wires.items()))


def attributes_struct(name: str, types: Mapping[str, Any], wires: Mapping[str, str]) -> type[msgspec.Struct]:
    """A struct with what may be written, none of it needed; *wires* says how each is spelt."""
    return _struct(name, tuple(types.items()), tuple(wires.items()))


@functools.lru_cache(maxsize=1024)
def _struct(name: str, types: tuple[tuple[str, Any], ...], wires: tuple[tuple[str, str], ...]) -> type[msgspec.Struct]:
    fields = [(one, _bounded(type) | msgspec.UnsetType, msgspec.UNSET) for one, type in types]
    spelt = {one: underscored(wire) for one, wire in wires}
    return msgspec.defstruct(name, fields, rename=spelt)


def _bounded(type: Any) -> Any:
    """*type*, its plain integers bounded."""
    if isinstance(type, UnionType):
        return functools.reduce(operator.or_, (_bounded(part) for part in get_args(type)))
    return Integer if type is int else type

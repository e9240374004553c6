"""A state file read as it streams by: what it says of itself, its outputs, how many of each resource.

Nothing is held but that: a state of a gigabyte costs no more memory than its outputs.  Knows the formats of Terraform
0.12 and later (version 4) and of 0.11 (version 3); of any other it tells what it recognises.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import ijson

from app.errors import Invalid

_OPENING = {"start_map", "start_array"}
_CLOSING = {"end_map", "end_array"}
_HEADER = {"version", "serial", "lineage", "terraform_version"}


@dataclass(slots=True)
class Output:
    name: str
    value: Any
    sensitive: bool
    type: Any  # as Terraform's type system writes it in JSON: "string", ["list", "string"], …


@dataclass(slots=True)
class Resource:
    """A resource block and its instances, counted."""

    module: str
    mode: str
    type: str
    name: str
    provider: str
    count: int


#: How many resources are listed by name; of more, only the tallies tell.
MOST_LISTED = 10_000

Tally = dict[str, dict[str, int]]


@dataclass(slots=True)
class Contents:
    """`modules` and `providers` say how many instances of each type there are; `resources` names the first of them."""

    version: int | None = None
    serial: int | None = None
    lineage: str = ""
    terraform_version: str | None = None
    outputs: list[Output] = field(default_factory=list)
    resources: list[Resource] = field(default_factory=list)
    modules: Tally = field(default_factory=dict)
    providers: Tally = field(default_factory=dict)
    managed_instances: int = 0

    def count(self, resource: Resource) -> None:
        if len(self.resources) < MOST_LISTED:
            self.resources.append(resource)
        kind = resource.type
        if resource.mode == "managed":
            self.managed_instances += resource.count
        else:
            kind = f"data.{kind}"
        for tally, key in ((self.modules, resource.module), (self.providers, resource.provider)):
            of = tally.setdefault(key, {})
            of[kind] = of.get(kind, 0) + resource.count


class StateReader:
    """Feed it the bytes; `finish` gives the `Contents`.  Both raise Invalid if it is not JSON of the right shape."""

    def __init__(self) -> None:
        self._walker = _Walker()
        self._parser = ijson.basic_parse_coro(self._walker, use_float=False)
        self._fed = False

    def feed(self, chunk: bytes) -> None:
        if not chunk:
            return  # to the parser that would be the end
        self._fed = True
        try:
            self._parser.send(chunk)
        except ijson.JSONError as error:
            raise _not_a_state(str(error).splitlines()[0]) from None

    def finish(self) -> Contents:
        try:
            self._parser.close()
        except ijson.JSONError:
            raise _not_a_state("it ends in the middle" if self._fed else "it is empty") from None
        if not self._walker.is_object:
            raise _not_a_state("its top level is not an object")
        return self._walker.contents()


def _not_a_state(why: str) -> Invalid:
    return Invalid(f"This is not a Terraform state: {why}.", field="state")


class _Walker:
    """Takes the parser's events one by one; collects what is wanted and steps over all else."""

    def __init__(self) -> None:
        self.is_object = False
        self._path: list[Any] = []  # one entry per open map (its present key) or array (None)
        self._header: dict[str, Any] = {}
        self._contents = Contents()
        self._builder: ijson.ObjectBuilder | None = None  # of the output being read
        self._resource: dict[str, Any] = {}

    def send(self, parsed: tuple[str, Any]) -> None:
        event, value = parsed
        path = self._path
        if self._builder is not None:
            self._builder.event(event, value)
        if event == "map_key":
            path[-1] = value
            return
        if event in _OPENING:
            if not path:
                self.is_object = event == "start_map"
            self._open(event, value)
            path.append(None)
        elif event in _CLOSING:
            path.pop()
            self._close()
        elif len(path) == 1 and path[0] in _HEADER:
            self._header[path[0]] = value
        elif len(path) == 3 and path[0] == "resources":
            self._resource[path[2]] = value

    def _open(self, event: str, value: Any) -> None:
        path = self._path
        if self._is_output(path) and self._builder is None:
            self._builder = ijson.ObjectBuilder()
            self._builder.event(event, value)
        elif path[:1] == ["resources"]:
            if len(path) == 2:
                self._resource = {"count": 0}
            elif len(path) == 4 and path[2] == "instances":
                self._resource["count"] += 1
        elif path[:1] == ["modules"] and len(path) == 4 and path[2] == "resources":
            self._old_resource(path[3])

    def _close(self) -> None:
        path = self._path
        if self._is_output(path) and self._builder is not None:
            self._output(path[-1], self._builder.value)
            self._builder = None
        elif len(path) == 2 and path[0] == "resources":
            self._contents.count(_resource(self._resource))

    @staticmethod
    def _is_output(path: list[Any]) -> bool:
        """Whether what opens or closes here is an output: of the root module, in either format."""
        if len(path) == 2:
            return bool(path[0] == "outputs")
        return len(path) == 4 and path[0] == "modules" and path[2] == "outputs"

    def _output(self, name: str, value: Any) -> None:
        if isinstance(value, dict) and "value" in value:
            sensitive = value.get("sensitive") is True
            self._contents.outputs.append(
                Output(name, plain(value["value"]), sensitive, plain(value.get("type", "dynamic")))
            )

    def _old_resource(self, address: str) -> None:
        mode = "data" if address.startswith("data.") else "managed"
        kind, _, name = address.removeprefix("data.").partition(".")
        self._contents.count(Resource("root", mode, kind, name, "", 1))

    def contents(self) -> Contents:
        contents, header = self._contents, self._header
        contents.version = _integer(header.get("version"))
        contents.serial = _integer(header.get("serial"))
        contents.lineage = str(header.get("lineage") or "")
        contents.terraform_version = header.get("terraform_version") or None
        return contents


def _resource(raw: dict[str, Any]) -> Resource:
    return Resource(
        module=str(raw.get("module") or "root"),
        mode=str(raw.get("mode") or "managed"),
        type=str(raw.get("type") or ""),
        name=str(raw.get("name") or ""),
        provider=str(raw.get("provider") or ""),
        count=raw["count"],
    )


def _integer(value: Any) -> int | None:
    return int(value) if isinstance(value, (int, Decimal)) and not isinstance(value, bool) else None


def plain(value: Any) -> Any:
    """*value* without the parser's Decimals: whole numbers become int, others float."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    return value

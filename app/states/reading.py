"""A state file read as it streams by: what it says of itself, its outputs, how many of each resource.

Nothing is held but that: a state of a gigabyte costs no more memory than its outputs.  Knows the formats of Terraform
0.12 and later (version 4) and of 0.11 (version 3), and what OpenTofu writes where it encrypts states: serial and
lineage in clear, all else sealed.  Anything else is no state: nothing could be planned on it.

To read outputs and resources takes several times as long as to see that the whole is JSON and what its head says.  Who
is not to wait for it names a length from which on only that is done.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import ijson

from app.errors import Invalid
from app.states.json_stream import Event, JsonStream, NotJson
from app.states.values import DEEPEST, json_text, too_deep

_OPENING = {"start_map", "start_array"}
_CLOSING = {"end_map", "end_array"}
_HEADER = {"version", "serial", "lineage", "terraform_version", "encryption_version", "encrypted_data"}
FORMATS = (3, 4)
#: Below what outputs lie, in either format.
_OUTPUTS = {"outputs", "modules"}


@dataclass(slots=True)
class Output:
    name: str
    value: str  # its JSON
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
MOST_NAME = 1024
MOST_SERIAL = 2**63 - 1

Tally = dict[str, dict[str, int]]


@dataclass(slots=True)
class Contents:
    """`is_whole` is False where only the head was read; `version` is None where the state is encrypted.

    `modules` and `providers` say how many instances of each type there are; `resources` names the first of them.
    """

    is_whole: bool = True
    version: int | None = None
    serial: int = 0
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
    """Feed it the bytes; `finish` gives the `Contents`.  Both raise Invalid if it is no state that Terraform writes."""

    def __init__(self, whole_up_to: int | None = None) -> None:
        self._walker = _Walker()
        self._json = JsonStream()
        self._whole_up_to = whole_up_to
        self._fed = 0

    def feed(self, chunk: bytes) -> None:
        self._fed += len(chunk)
        if self._whole_up_to is not None and self._fed > self._whole_up_to:
            self._walker.read_head_only()
        self._walk(lambda: self._json.feed(chunk))

    def finish(self) -> Contents:
        self._walk(self._json.finish)
        return self._walker.contents()

    def _walk(self, step: Callable[[], list[Event]]) -> None:
        try:
            events = step()
        except NotJson as error:
            raise _not_a_state(error.why) from None
        self._walker.walk(events)


def _not_a_state(why: str) -> Invalid:
    return Invalid(f"This is not a Terraform state: {why}.", field="state")


class _Walker:
    """Takes the parser's events one by one; collects what is wanted and steps over all else."""

    def __init__(self) -> None:
        self._is_object = False
        self._is_whole = True
        self._depth = 0
        self._key: Any = None  # at the top level; only where the head alone is read
        self._path: list[Any] = []  # one entry per open map (its present key) or array (None)
        self._header: dict[str, Any] = {}
        self._contents = Contents()
        self._builder: ijson.ObjectBuilder | None = None  # of the output being read
        self._resource: dict[str, Any] = {}

    def walk(self, events: list[tuple[str, Any]]) -> None:
        if self._is_whole:
            for event, value in events:
                self._step(event, value)
        else:
            self._walk_head(events)

    def read_head_only(self) -> None:
        """From here on; what was read of outputs and resources is dropped."""
        if self._is_whole:
            self._is_whole, self._depth = False, len(self._path)
            self._key = self._path[0] if self._path else None
            self._contents, self._builder = Contents(is_whole=False), None

    def _walk_head(self, events: list[tuple[str, Any]]) -> None:
        depth = self._depth
        for event, value in events:
            if event in _OPENING:
                if depth == 0:
                    self._is_object = event == "start_map"
                elif depth == 1:
                    self._read_head(event, None)
                depth += 1
                if depth > DEEPEST and self._key in _OUTPUTS:
                    raise too_deep()
            elif event in _CLOSING:
                depth -= 1
            elif depth == 1:
                self._read_head(event, value)
        self._depth = depth

    def _read_head(self, event: str, value: Any) -> None:
        if event == "map_key":
            self._key = value
        elif self._key in _HEADER:
            self._header[self._key] = value

    def _step(self, event: str, value: Any) -> None:
        path = self._path
        if self._builder is not None:
            self._builder.event(event, value)
        if event == "map_key":
            path[-1] = value
            return
        if event in _OPENING:
            if not path:
                self._is_object = event == "start_map"
            elif len(path) == 1 and path[0] in _HEADER:
                self._header[path[0]] = None
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
            kind = value.get("type", "dynamic")
            self._contents.outputs.append(Output(_line(name, 255), json_text(value["value"]), sensitive, kind))

    def _old_resource(self, address: str) -> None:
        mode = "data" if address.startswith("data.") else "managed"
        kind, _, name = _line(address, MOST_NAME).removeprefix("data.").partition(".")
        self._contents.count(Resource("root", mode, kind, name, "", 1))

    def contents(self) -> Contents:
        if not self._is_object:
            raise _not_a_state("its top level is not an object")
        contents, header = self._contents, self._header
        contents.version = _version(header)
        contents.serial = _serial(header.get("serial"))
        contents.lineage = _lineage(header.get("lineage"))
        contents.terraform_version = _line(header.get("terraform_version"), 64) or None
        return contents


def _version(header: dict[str, Any]) -> int | None:
    version = header.get("version")
    if _is_integer(version) and version in FORMATS:
        return int(version)
    sealed = (header.get("encryption_version"), header.get("encrypted_data"))
    if "version" not in header and all(isinstance(one, str) and one for one in sealed):
        return None
    raise _not_a_state("its version is not 4, nor 3 as Terraform 0.11 writes it")


def _serial(value: Any) -> int:
    if not _is_integer(value) or not 0 <= value <= MOST_SERIAL:
        raise _not_a_state(f"its serial is not a whole number from 0 to {MOST_SERIAL}")
    return int(value)


def _lineage(value: Any) -> str:
    if not isinstance(value, str):
        raise _not_a_state("its lineage is not a text")
    return value


def _is_integer(value: Any) -> bool:
    """As Terraform reads one: what has a fraction or an exponent is a Decimal here, and none to it."""
    return isinstance(value, int) and not isinstance(value, bool)


def _resource(raw: dict[str, Any]) -> Resource:
    return Resource(
        module=_line(raw.get("module") or "root", MOST_NAME),
        mode=_line(raw.get("mode") or "managed", MOST_NAME),
        type=_line(raw.get("type"), MOST_NAME),
        name=_line(raw.get("name"), MOST_NAME),
        provider=_line(raw.get("provider"), MOST_NAME),
        count=raw["count"],
    )


def _line(value: Any, most: int) -> str:
    """A text for a column: without NUL, which PostgreSQL does not take, and no longer than it holds."""
    return str(value or "").replace("\0", "\ufffd")[:most]

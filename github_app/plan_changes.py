"""What a plan's JSON says will change, with nothing in it that is sensitive.

Read from `resource_changes` (Terraform's JSON output format 1.x); paths that `before_sensitive`, `after_sensitive`
or `after_unknown` name are replaced before anything looks at a value.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

SENSITIVE = "(sensitive value)"
UNKNOWN = "(known after apply)"

#: Of so many changes of a kind the attributes are kept: a report has room for fewer.
MOST_DETAILED = 1_000
#: The characters of a text that are compared and shown.
MOST_OF_VALUE = 20_000


class Kind(Enum):
    """In the order in which a reader wants to see them: the worst first."""

    DELETE = ("➖", "destroy")
    REPLACE = ("🔁", "replace")
    FORGET = ("🗂", "forget, without destroying it")
    UPDATE = ("✏️", "change")
    CREATE = ("➕", "create")
    IMPORT = ("📥", "import")
    MOVE = ("🚚", "move")

    def __init__(self, icon: str, verb: str) -> None:
        self.icon = icon
        self.verb = verb


@dataclass(frozen=True, slots=True)
class Attribute:
    """One that differs: None where it is not there."""

    name: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class Change:
    """What happens to one resource."""

    address: str
    kind: Kind
    attributes: tuple[Attribute, ...]
    forced_by: tuple[str, ...] = ()
    moved_from: str | None = None
    imported: bool = False


@dataclass(frozen=True, slots=True)
class Changes:
    """Of a plan, the worst first."""

    resources: tuple[Change, ...]
    outputs: tuple[str, ...] = ()

    def count(self, *kinds: Kind) -> int:
        found = Counter(change.kind for change in self.resources)
        return sum(found[kind] for kind in kinds)

    @property
    def added(self) -> int:
        """As terraform counts: a replaced one is added and destroyed."""
        return self.count(Kind.CREATE, Kind.REPLACE)

    @property
    def changed(self) -> int:
        return self.count(Kind.UPDATE)

    @property
    def destroyed(self) -> int:
        return self.count(Kind.DELETE, Kind.REPLACE)

    @property
    def imported(self) -> int:
        return sum(change.imported for change in self.resources)

    @property
    def is_empty(self) -> bool:
        return not self.resources and not self.outputs


def read(plan: Mapping[str, Any]) -> Changes:
    """The changes of a plan's JSON document."""
    reader = Reader()
    for entry in plan.get("resource_changes") or []:
        reader.resource(entry)
    for name, change in (plan.get("output_changes") or {}).items():
        reader.output(name, change)
    return reader.finish()


class Reader:
    """Takes a plan's entries one by one, and keeps no more of each than a report can show."""

    def __init__(self) -> None:
        self._found: list[Change] = []
        self._outputs: list[str] = []
        self._detailed: Counter[Kind] = Counter()

    def resource(self, entry: Mapping[str, Any]) -> None:
        if entry.get("mode", "managed") != "managed":
            return
        change = _change(entry)
        if change is None:
            return
        self._detailed[change.kind] += 1
        if self._detailed[change.kind] > MOST_DETAILED:
            change = replace(change, attributes=(), forced_by=())
        self._found.append(change)

    def output(self, name: str, change: Mapping[str, Any] | None) -> None:
        if (change or {}).get("actions") not in (["no-op"], None):
            self._outputs.append(name)

    def finish(self) -> Changes:
        order = list(Kind)
        self._found.sort(key=lambda change: (order.index(change.kind), change.address))
        return Changes(tuple(self._found), tuple(sorted(self._outputs)))


def _change(entry: Mapping[str, Any]) -> Change | None:
    change = entry.get("change") or {}
    actions, importing = change.get("actions") or [], bool(change.get("importing"))
    moved = entry.get("previous_address")
    kind = _kind(actions, importing=importing, moved=moved is not None)
    if kind is None:
        return None
    address = str(entry.get("address", "?"))
    if entry.get("deposed"):
        address += f" (deposed {entry['deposed']})"
    return Change(
        address, kind, tuple(_attributes(change)), tuple(_forced_by(change)), moved_from=moved, imported=importing
    )


def _kind(actions: list[str], *, importing: bool, moved: bool) -> Kind | None:
    match sorted(actions):
        case ["create", "delete"]:
            return Kind.REPLACE
        case ["create", "forget"]:
            return Kind.CREATE
        case ["create"]:
            return Kind.CREATE
        case ["update"]:
            return Kind.UPDATE
        case ["delete"]:
            return Kind.DELETE
        case ["forget"]:
            return Kind.FORGET
    if importing:
        return Kind.IMPORT
    return Kind.MOVE if moved else None


def _forced_by(change: Mapping[str, Any]) -> Iterable[str]:
    for path in change.get("replace_paths") or []:
        yield ".".join(str(step) for step in path) if isinstance(path, list) else str(path)


def _attributes(change: Mapping[str, Any]) -> Iterable[Attribute]:
    raw_before, raw_after = change.get("before"), change.get("after")
    before = masked(raw_before, change.get("before_sensitive"), SENSITIVE)
    after = masked(raw_after, change.get("after_unknown"), UNKNOWN)
    after = masked(after, change.get("after_sensitive"), SENSITIVE)
    names = {*_keys(before), *_keys(after)}
    for name in sorted(names):
        raw = (_item(raw_before, name), _item(raw_after, name))
        old, new = _item(before, name), _item(after, name)
        if old != new or raw[0] != raw[1]:
            yield Attribute(name, _shortened(old), _shortened(new))


def _shortened(value: Any) -> Any:
    return value[:MOST_OF_VALUE] if isinstance(value, str) else value


def masked(value: Any, mask: Any, word: str) -> Any:
    """*value* with *word* wherever *mask*, of the same shape, says true; also where the value has nothing yet."""
    if mask is True:
        return word
    if isinstance(mask, Mapping) and any(_says_true(one) for one in mask.values()):
        value = value if isinstance(value, Mapping) else {}
        return {name: masked(value.get(name), mask.get(name), word) for name in {**value, **mask}}
    if isinstance(mask, list) and any(_says_true(one) for one in mask):
        items = value if isinstance(value, list) else []
        length = max(len(items), len(mask))
        return [
            masked(items[at] if at < len(items) else None, mask[at] if at < len(mask) else None, word)
            for at in range(length)
        ]
    return value


def _says_true(mask: Any) -> bool:
    if isinstance(mask, Mapping):
        return any(_says_true(one) for one in mask.values())
    if isinstance(mask, list):
        return any(_says_true(one) for one in mask)
    return mask is True


def _keys(value: Any) -> Iterable[str]:
    return value.keys() if isinstance(value, Mapping) else ()


def _item(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else None

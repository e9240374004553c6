"""What a phase leaves: a plan's file and JSON, what it rests on, and how much was or would be changed."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from app import settings
from app.execution import carried
from app.execution.orders import Order, Subject
from app.execution.redaction import redacted
from app.storage import objects
from app.storage.models import StoredObject
from app.supervisor.collect import exists_inside, open_inside
from app.supervisor.control import LOG
from app.supervisor.masking import mask
from app.supervisor.spec import GENERATED_FILE, PLAN_FILE, Result


@dataclass(frozen=True, slots=True)
class Counts:
    additions: int = 0
    changes: int = 0
    destructions: int = 0
    imports: int = 0

    def columns(self) -> dict[str, int]:
        return {
            "resource_additions": self.additions,
            "resource_changes": self.changes,
            "resource_destructions": self.destructions,
            "resource_imports": self.imports,
        }


def counts_of(shown: dict[str, Any]) -> Counts:
    """A replaced resource counts as added and as destroyed, as Terraform's own last line counts it."""
    changes = [item for item in shown.get("resource_changes") or [] if item.get("mode") == "managed"]
    actions = [(item.get("change") or {}).get("actions") or [] for item in changes]
    return Counts(
        additions=sum("create" in some for some in actions),
        changes=sum(some == ["update"] for some in actions),
        destructions=sum("delete" in some for some in actions),
        imports=sum(bool((item.get("change") or {}).get("importing")) for item in changes),
    )


_COLOURS = re.compile(rb"\x1b\[[0-9;]*m")
_APPLIED = re.compile(
    rb"(?:Apply|Destroy) complete! Resources: (?:(\d+) imported, )?(?:(\d+) added, (\d+) changed, )?(\d+) destroyed"
)
_DONE = re.compile(rb"(?m)^.*: (Creation|Modifications|Destruction) complete after ")


def counts_of_apply(log: bytes) -> Counts:
    """What an apply says it did in its last line; where it failed before, what it says of each resource."""
    text = _COLOURS.sub(b"", log)
    lines = list(_APPLIED.finditer(text))
    if lines:
        imported, added, changed, destroyed = (int(number or 0) for number in lines[-1].groups())
        return Counts(added, changed, destroyed, imported)
    done = [match[1] for match in _DONE.finditer(text)]
    return Counts(done.count(b"Creation"), done.count(b"Modifications"), done.count(b"Destruction"))


@dataclass(frozen=True, slots=True)
class Documents:
    """A plan as JSON, for those who may see everything and for those who may not."""

    plain: bytes
    redacted: bytes
    schemas: bytes
    counts: Counts


def documents(plan_json: Path, schemas_json: Path | None, secrets: Iterable[str]) -> Documents:
    """Read what the supervisor left.  Terraform does not mark all it should, so known secrets are masked as well."""
    plain = _json_in(plan_json)
    schemas = _json_in(schemas_json) if schemas_json is not None else b'{"format_version":"1.0"}'
    shown = orjson.loads(plain)
    without = redacted(shown, _needed(orjson.loads(schemas), shown))
    return Documents(plain, _masked(without, list(secrets)), schemas, counts_of(shown))


def _json_in(path: Path) -> bytes:
    """The object in what terraform printed: some builds of 0.12 to 0.14 put a mark of their own (``o:``) before it."""
    printed = path.read_bytes()
    return printed[max(0, printed.find(b"{")) :]


def _masked(document: dict[str, Any], secrets: list[str]) -> bytes:
    hidden, count = mask(orjson.dumps(document), secrets)
    if not count:
        return hidden
    try:
        orjson.loads(hidden)
        return hidden
    except ValueError:  # a secret looked like a number, or like JSON itself
        return orjson.dumps(_masked_value(document, secrets))


def _masked_value(value: Any, secrets: list[str]) -> Any:
    if isinstance(value, dict):
        return {_masked_value(key, secrets): _masked_value(item, secrets) for key, item in value.items()}
    if isinstance(value, list):
        return [_masked_value(item, secrets) for item in value]
    if isinstance(value, str):
        return mask(value.encode(errors="surrogatepass"), secrets)[0].decode(errors="replace")
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return 0 if mask(str(value).encode(), secrets)[1] else value
    return value


def _needed(schemas: dict[str, Any], shown: dict[str, Any]) -> dict[str, Any]:
    """Of the schemas, which may be tens of megabytes, those of the types that occur."""
    wanted: dict[str, set[tuple[str, str]]] = {}
    deferred = [item.get("resource_change") or {} for item in shown.get("deferred_changes") or []]
    for item in (*(shown.get("resource_changes") or []), *(shown.get("resource_drift") or []), *deferred):
        kind = "data_source_schemas" if item.get("mode") == "data" else "resource_schemas"
        wanted.setdefault(item.get("provider_name", ""), set()).add((kind, item.get("type", "")))
    found = {}
    for provider, kinds in wanted.items():
        whole = (schemas.get("provider_schemas") or {}).get(provider)
        if whole is None:
            continue
        found[provider] = {
            kind: {name: schema for name, schema in (whole.get(kind) or {}).items() if (kind, name) in kinds}
            for kind in ("resource_schemas", "data_source_schemas")
        }
    return {"format_version": schemas.get("format_version", "1.0"), "provider_schemas": found}


@dataclass(frozen=True, slots=True)
class Kept:
    """What of a plan lies in the object store; `save` writes the rows that make it so."""

    stored: Mapping[str, StoredObject]
    columns: Mapping[str, Any]
    has_generated: bool = False
    """Whether the plan wrote configuration for what it would import."""

    async def save(self) -> dict[str, Any]:
        """Inside a transaction: the objects' rows, and the plan's columns that name them."""
        await StoredObject.bulk_create(self.stored.values())
        return {**self.columns, **{f"{column}_id": row.id for column, row in self.stored.items()}}


async def keep(subject: Subject, order: Order, result: Result) -> Kept | None:
    """Store what the plan left; None where it left nothing worth keeping."""
    if result.outcome != "finished" and result.plan_json is None:
        return None
    run = subject.run
    pieces: dict[str, Awaitable[StoredObject]] = {}
    columns: dict[str, Any] = dict(Counts().columns())
    organization = run.organization_id
    if result.plan_json is not None:
        schemas = Path(result.schemas) if result.schemas else None
        made = await asyncio.to_thread(documents, Path(result.plan_json), schemas, order.spec.secrets)
        columns = made.counts.columns()
        pieces["json_output"] = objects.put("plan-json", organization, made.plain)
        pieces["json_output_redacted"] = objects.put("plan-json-redacted", organization, made.redacted)
        pieces["json_schema"] = objects.put("provider-schemas", organization, made.schemas)
    has_generated = order.spec.options.generates and exists_inside(order.directory.out, GENERATED_FILE)
    is_kept = result.outcome == "finished" and not run.plan_only and not has_generated
    if is_kept and (result.has_changes or run.allow_empty_apply):
        pieces["plan_file"] = objects.put("plan-file", organization, _file_of_run(order))
        packed = await asyncio.to_thread(_pack, order)
        if packed is not None:
            pieces["carried_files"] = objects.put("plan-files", organization, _pieces(packed.open("rb")))
    stored = dict(zip(pieces, await asyncio.gather(*pieces.values()), strict=True))
    if "plan_file" in stored:
        columns["binding"] = {
            **order.binding,
            "state_version": result.state.input_version or "",
            "plan": stored["plan_file"].sha256,
        }
    return Kept(stored, columns, has_generated)


def counts_in(control: Path) -> Counts:
    """What the log of an apply in *control* tells."""
    try:
        return counts_of_apply((control / LOG).read_bytes())
    except FileNotFoundError:
        return Counts()


def _pack(order: Order) -> Path | None:
    path = order.directory.control / "carried.tar"
    with path.open("wb") as file:
        path.chmod(0o600)
        count = carried.pack(
            order.directory.config,
            order.before,
            order.root,
            order.ours,
            file,
            settings.current().max_archive_unpacked,
        )
    return path if count else None


def _file_of_run(order: Order) -> AsyncIterator[bytes]:
    return _pieces(open_inside(order.directory.out, PLAN_FILE))


async def _pieces(file: BinaryIO) -> AsyncIterator[bytes]:
    with file:
        while piece := await asyncio.to_thread(file.read, objects.PIECE):
            yield piece

"""What is read from a state and kept beside it: its outputs, and how many of each resource.

A state of ordinary size is read on its way in.  A longer one would hold its writer up; it becomes current at once, and
a worker reads it afterwards.  Until then `resources_processed` is false.
"""

from __future__ import annotations

import asyncio

import structlog

from app import ids
from app.errors import Invalid
from app.states.models import StateVersion, StateVersionOutput
from app.states.reading import Contents, StateReader
from app.states.values import json_text
from app.storage import crypto, database, objects
from app.storage.database import in_transaction
from app.workspaces.models import Workspace

log = structlog.get_logger(__name__)

#: Fed to the parser between two looks at what else there is to do.
SLICE = 128 * 1024

_WAITING = """SELECT id FROM state_versions WHERE status = 'finalized' AND NOT resources_processed
AND NOT intermediate ORDER BY created_at LIMIT 20"""


async def keep(version: StateVersion, contents: Contents) -> None:
    """Put what was read into *version*, which the caller saves, and store its outputs."""
    version.resources = [
        {
            "name": resource.name,
            "type": resource.type,
            "count": resource.count,
            "module": resource.module,
            "provider": resource.provider,
            "mode": resource.mode,
        }
        for resource in contents.resources
    ]
    version.modules, version.providers = dict(contents.modules), dict(contents.providers)
    version.resources_processed = True
    await StateVersionOutput.bulk_create(_outputs(version, contents))


async def read_waiting() -> int:
    """Read the states that were too long to be read on their way.  How many there were; two may do it at once."""
    waiting = await database.client().execute_query_dict(_WAITING)
    for row in waiting:
        await _read_one(row["id"])
    return len(waiting)


async def _read_one(version_id: str) -> None:
    version = await StateVersion.get_or_none(id=version_id).select_related("content")
    if version is None:
        return
    contents = await _contents(version)
    async with in_transaction():
        fresh = await StateVersion.filter(id=version_id).select_for_update().get_or_none()
        if fresh is None or fresh.resources_processed:
            return
        await keep(fresh, contents if fresh.permanently_deleted_at is None else Contents())
        await fresh.save(update_fields=["resources", "modules", "providers", "resources_processed"])
        here = Workspace.filter(id=fresh.workspace_id, current_state_version_id=fresh.id)
        await here.update(resource_count=contents.managed_instances)


async def _contents(version: StateVersion) -> Contents:
    """What it holds; nothing if it cannot be read, which `stateroom doctor --state` explains."""
    reader = StateReader()
    if version.content is None:
        return Contents()
    try:
        async for piece in objects.stream(version.content):
            for at in range(0, len(piece), SLICE):
                reader.feed(piece[at : at + SLICE])
                await asyncio.sleep(0)
        return reader.finish()
    except (crypto.Damaged, Invalid) as error:
        log.error("a state cannot be read", state_version=version.id, reason=error.sentence)
        return Contents()


def _outputs(version: StateVersion, contents: Contents) -> list[StateVersionOutput]:
    rows = []
    for output in contents.outputs:
        row = StateVersionOutput(
            id=ids.new("state_version_output"),
            state_version_id=version.id,
            name=output.name,
            sensitive=output.sensitive,
            type=_plain_type(output.type),
            detailed_type=json_text(output.type),
        )
        row.sealed_value = crypto.seal(output.value.encode(), context=row.sealed_context)
        rows.append(row)
    return rows


#: What the API calls Terraform's types.
_TYPES = {"bool": "boolean", "list": "array", "set": "array", "tuple": "array", "map": "object", "object": "object"}


def _plain_type(detailed: object) -> str:
    word = detailed[0] if isinstance(detailed, list) and detailed else detailed
    return _TYPES.get(str(word), str(word)).replace("\0", "")[:32]

"""The configuration a plan wrote for what it would import."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import orjson

from app import ids
from app.access.actors import Actor
from app.runs import phases
from app.runs.models import Run
from app.storage import objects

#: A plan whose JSON is longer is not opened for a page.
LONGEST = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Generated:
    """A resource block that terraform wrote, and the id it would import it by."""

    address: str
    imported_as: str
    text: str


async def of(actor: Actor, run: Run) -> list[Generated]:
    """What the plan of *run* wrote, as far as it is known; nothing where its document is longer than `LONGEST`."""
    if not run.generated_configuration:
        return []
    stored = await phases.document(actor, ids.plan_id(run.id), "json_output_redacted")
    if stored is None or stored.size > LONGEST:
        return []
    return await asyncio.to_thread(_in, await objects.read(stored))


def _in(document: bytes) -> list[Generated]:
    changes = ((item["address"], item.get("change") or {}) for item in orjson.loads(document)["resource_changes"])
    return [
        Generated(address, str((change.get("importing") or {}).get("id", "")), change["generated_config"])
        for address, change in changes
        if change.get("generated_config")
    ]

"""Tags of workspaces: keys, each with a value or (a flat tag) without.

The API shows them twice, as `tag-names` and as bindings; there is one row per tag, so the two cannot
disagree.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from app import clock, ids
from app.access.actors import Actor
from app.access.permissions import require
from app.errors import Invalid
from app.storage.database import in_transaction
from app.workspaces.models import TagBinding, Workspace

MOST_BINDINGS = 100
_FLAT = re.compile(r"[A-Za-z0-9:_-]{1,255}")
_KEY = re.compile(r"[A-Za-z0-9_.=+@:-]{1,255}")
_VALUE = re.compile(r"[A-Za-z0-9_.=+@:-]{0,256}")


async def add(actor: Actor, workspace: Workspace, tags: Mapping[str, str]) -> None:
    """Add *tags* (key → value, empty for a flat one); a key that is there gets the new value."""
    await require(actor, "workspace:manage-tags", workspace)
    check(tags)
    async with in_transaction():
        await _lock(workspace)
        await write(workspace, tags)


async def replace(actor: Actor, workspace: Workspace, tags: Mapping[str, str]) -> None:
    """Let *workspace* have these tags and no others."""
    await require(actor, "workspace:manage-tags", workspace)
    check(tags)
    async with in_transaction():
        await _lock(workspace)
        await TagBinding.filter(workspace_id=workspace.id).exclude(key__in=list(tags)).delete()
        await write(workspace, tags)


async def add_flat(actor: Actor, workspace: Workspace, names: Collection[str]) -> None:
    """Add flat tags; one that is there, with or without a value, stays as it is."""
    await require(actor, "workspace:manage-tags", workspace)
    for name in names:
        if not _FLAT.fullmatch(name):
            raise Invalid("A tag has 1 to 255 characters: letters, digits, and any of : - _", field="name")
    async with in_transaction():
        await _lock(workspace)
        present = set(map(str, await TagBinding.filter(workspace_id=workspace.id).values_list("key", flat=True)))
        await write(workspace, {name: "" for name in names if name not in present})


async def remove(actor: Actor, workspace: Workspace, keys: Collection[str]) -> None:
    """Take tags away by key; one that is not there is no error."""
    await require(actor, "workspace:manage-tags", workspace)
    await TagBinding.filter(workspace_id=workspace.id, key__in=list(keys)).delete()


async def of(actor: Actor, workspace: Workspace) -> list[TagBinding]:
    await require(actor, "workspace:read", workspace)
    return await TagBinding.filter(workspace_id=workspace.id).order_by("key")


def check(tags: Mapping[str, str]) -> None:
    for key, value in tags.items():
        if not _KEY.fullmatch(key):
            raise Invalid("A tag's key has 1 to 255 characters: letters, digits, and any of _ . = + - @ :", field="key")
        if key.startswith(("hc:", "hcp:")):
            raise Invalid("A tag's key cannot begin with hc: or hcp:, which are reserved.", field="key")
        if not _VALUE.fullmatch(value):
            raise Invalid(
                "A tag's value has at most 256 characters: letters, digits, and any of _ . = + - @ :",
                field="value",
            )


async def write(workspace: Workspace, tags: Mapping[str, str]) -> None:
    """Put *tags* (checked) beside those there are, inside the caller's transaction."""
    present = {tag.key: tag for tag in await TagBinding.filter(workspace_id=workspace.id)}
    if len(present.keys() | tags.keys()) > MOST_BINDINGS:
        raise Invalid(f"A workspace has at most {MOST_BINDINGS} tags.", field="tag_bindings")
    for key, value in tags.items():
        if key not in present:
            await TagBinding.create(
                id=ids.new("tag_binding"),
                workspace_id=workspace.id,
                key=key,
                value=value,
                created_at=clock.now(),
            )
        elif present[key].value != value:
            await TagBinding.filter(id=present[key].id).update(value=value)


async def _lock(workspace: Workspace) -> None:
    await Workspace.filter(id=workspace.id).select_for_update().only("id").first()

"""The archive of a configuration version, dropped by a person.  The version stays, and no run can be made of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from app import clock
from app.access.actors import Actor
from app.access.permissions import require
from app.configurations.actions import Status
from app.configurations.models import ConfigurationVersion
from app.errors import Conflict
from app.storage import objects
from app.storage.database import in_transaction
from app.workspaces.models import Workspace

#: Called inside the transaction that drops an archive, the workspace held: whoever raises keeps it.
BeforeArchive = Callable[[ConfigurationVersion], Awaitable[None]]

_before_archive: list[BeforeArchive] = []


def before_archive(*listeners: BeforeArchive) -> None:
    """Ask *listeners*; one that is asked already is not added again."""
    _before_archive.extend(one for one in listeners if one not in _before_archive)


async def drop_archive(actor: Actor, version: ConfigurationVersion) -> None:
    """Drop the archive of an uploaded version that is neither current nor in use.

    Its bytes stay while something else needs them: the archive of a commit serves the versions of many workspaces.
    """
    await require(actor, "configuration:create", version.workspace)
    async with in_transaction():
        workspace = await Workspace.filter(id=version.workspace_id).select_for_update().get()
        fresh = await ConfigurationVersion.get(id=version.id).select_related("archive")
        await _check(fresh, workspace)
        stored = fresh.archive
        assert stored is not None
        gone = {"status": Status.ARCHIVED.value, "archive_id": None, "archived_at": clock.now()}
        await ConfigurationVersion.filter(id=fresh.id).update(**gone)
        unneeded = await objects.let_go(stored)
    if unneeded:
        await objects.delete_bytes(stored)


async def _check(version: ConfigurationVersion, workspace: Workspace) -> None:
    if version.status != Status.UPLOADED or version.archive is None:
        raise Conflict(f"The configuration version is {version.status}: only an uploaded one can be archived.")
    if workspace.current_configuration_version_id == version.id:
        raise Conflict(
            f"The configuration version is the current one of {workspace.name}, whose next run may need it. Upload"
            " another one first."
        )
    for listener in _before_archive:
        await listener(version)

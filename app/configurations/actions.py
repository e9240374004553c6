"""What can be done with configuration versions."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterable, Awaitable, Callable
from datetime import timedelta
from enum import StrEnum

from tortoise.queryset import QuerySet

from app import clock, ids, settings
from app.access.actors import Actor
from app.access.permissions import require
from app.configurations.archive import ArchiveLimits, inspected
from app.configurations.models import ConfigurationVersion
from app.errors import Conflict, Invalid, NotFound, TooLarge
from app.events import Announcement
from app.storage import objects
from app.storage.database import in_transaction
from app.storage.models import StoredObject
from app.workspaces import visibility
from app.workspaces.models import Workspace

KIND = "configuration"
OVERDUE = "Its archive did not come before its upload address expired."


class Status(StrEnum):
    PENDING = "pending"
    UPLOADED = "uploaded"
    ERRORED = "errored"
    ARCHIVED = "archived"


#: Announced with each version that has its archive, also when a client repeats the upload because it heard
#: no answer. Runs lie above: whoever makes them listens, looks at `auto_queue_runs`, and makes one only
#: where there is none yet.
uploaded = Announcement("configuration uploaded")


#: Asked before a version is made that waits for an upload, with whether it is speculative: whoever raises prevents it.
BeforeUpload = Callable[[Workspace, bool], Awaitable[None]]

_before_upload: list[BeforeUpload] = []


def before_upload(*listeners: BeforeUpload) -> None:
    """Ask *listeners*; one that is asked already is not added again."""
    _before_upload.extend(one for one in listeners if one not in _before_upload)


def visible(actor: Actor) -> QuerySet[ConfigurationVersion]:
    """Those of the workspaces *actor* may see; a run's token reads none."""
    of_living = ConfigurationVersion.filter(workspace__deleted_at=None)
    if actor.claims is not None:
        return of_living.filter(id="")
    return of_living.filter(workspace_id__in=visibility.subquery(actor))


async def find(actor: Actor, version_id: str) -> ConfigurationVersion:
    # Not joined: PostgreSQL would cut the aliases of the workspace's longest columns.
    version = await visible(actor).prefetch_related("workspace").get_or_none(id=version_id)
    if version is None:
        raise NotFound(f"There is no configuration version {version_id}, or you may not see it.")
    return version


async def of(actor: Actor, workspace: Workspace) -> QuerySet[ConfigurationVersion]:
    """The versions of *workspace*, the newest first."""
    await require(actor, "configuration:read", workspace)
    return ConfigurationVersion.filter(workspace_id=workspace.id).order_by("-created_at", "-id")


async def create(
    actor: Actor,
    workspace: Workspace,
    *,
    auto_queue_runs: bool = True,
    speculative: bool = False,
    provisional: bool = False,
    source: str = "tfe-api",
) -> ConfigurationVersion:
    """Make a version that waits for its archive (`receive`)."""
    await require(actor, "configuration:create", workspace)
    for listener in _before_upload:
        await listener(workspace, speculative)
    return await ConfigurationVersion.create(
        id=ids.new("configuration_version"),
        workspace_id=workspace.id,
        status=Status.PENDING.value,
        source=source,
        speculative=speculative,
        provisional=provisional,
        auto_queue_runs=auto_queue_runs,
        created_by_id=actor.id,
        created_at=clock.now(),
    )


async def receive(version_id: str, chunks: AsyncIterable[bytes]) -> ConfigurationVersion:
    """Take the archive of a version; when this returns it is `uploaded`.

    Asks nobody's permission: whoever has the signed address may.  The same bytes again are no error, other
    bytes are a Conflict.  An archive that cannot be accepted makes the version `errored` with the reason,
    and nothing is kept.
    """
    version = await _of_living_workspace(version_id)
    if version.status == Status.ERRORED:
        raise Invalid(f"{version.error_message} Create another configuration version.", field="/data")
    if version.status == Status.ARCHIVED:
        raise Conflict("The configuration version was archived. Create another one.")
    if version.status == Status.UPLOADED:
        await _compare(version, await _sha256(chunks))
    else:
        version = await _store(version, chunks)
    await uploaded.announce(version)
    return version


def require_usable(version: ConfigurationVersion) -> None:
    """Raise Invalid unless it has its archive, so that a run can be made of it."""
    if version.status == Status.UPLOADED:
        return
    remedy = {
        Status.PENDING: "Upload its archive first.",
        Status.ERRORED: f"{version.error_message} Create another one.",
        Status.ARCHIVED: "Its archive was dropped. Create another one, or leave it out to use the current one.",
    }[Status(version.status)]
    sentence = f"The configuration version is {version.status}, not uploaded. {remedy}"
    raise Invalid(sentence, field="/data/relationships/configuration-version")


async def archive_of(actor: Actor, version: ConfigurationVersion) -> StoredObject:
    """The archive, for who may download it."""
    await require(actor, "configuration:read", version.workspace)
    return await stored_archive(version.id)


async def stored_archive(version_id: str) -> StoredObject:
    """The archive of a version: for the domain, and for who has a signed address."""
    version = await ConfigurationVersion.get_or_none(id=version_id).select_related("archive")
    if version is None or version.archive is None:
        raise NotFound(f"The configuration version {version_id} has no archive (yet).")
    archive: StoredObject = version.archive
    return archive


async def make_current(version: ConfigurationVersion) -> None:
    """Let a provisional version be its workspace's current one, unless a newer one is or it was archived."""
    async with in_transaction():
        workspace_id = version.workspace_id
        workspace = await Workspace.filter(id=workspace_id).select_for_update().get()
        current = await ConfigurationVersion.get_or_none(id=workspace.current_configuration_version_id)
        usable = await ConfigurationVersion.filter(id=version.id, status=Status.UPLOADED.value).exists()
        if usable and (current is None or current.created_at <= version.created_at):
            await Workspace.filter(id=workspace.id).update(current_configuration_version_id=version.id)


async def give_up_overdue() -> int:
    """End the wait for archives whose upload addresses have expired.  How many there were; no run can be of one."""
    deadline = clock.now() - timedelta(seconds=settings.current().signed_url_life)
    overdue = ConfigurationVersion.filter(status=Status.PENDING.value, created_at__lt=deadline)
    return await overdue.update(status=Status.ERRORED.value, error="upload-overdue", error_message=OVERDUE)


async def _store(version: ConfigurationVersion, chunks: AsyncIterable[bytes]) -> ConfigurationVersion:
    limits = ArchiveLimits.of(settings.current())
    try:
        organization_id = version.workspace.organization_id
        stored = await objects.put(KIND, organization_id, inspected(chunks, limits))
    except (Invalid, TooLarge) as error:
        await _refuse(version, error.sentence)
        raise
    try:
        return await _adopt(version, stored)
    finally:
        await asyncio.shield(objects.abandon(stored))


async def _adopt(version: ConfigurationVersion, stored: StoredObject) -> ConfigurationVersion:
    """Make *stored* the archive of the version, unless somebody else was faster."""
    async with in_transaction():
        workspace_id = version.workspace_id
        await Workspace.filter(id=workspace_id).select_for_update().only("id").first()
        fresh = await ConfigurationVersion.filter(id=version.id).select_for_update().get()
        if fresh.status == Status.ERRORED:
            raise Invalid(f"{fresh.error_message} Create another configuration version.", field="/data")
        if fresh.status != Status.PENDING:
            await _compare(fresh, stored.sha256)
            return fresh
        await stored.save(force_create=True)
        changes = {"status": Status.UPLOADED.value, "archive_id": stored.id, "uploaded_at": clock.now()}
        await ConfigurationVersion.filter(id=version.id).update(**changes)
        if not (version.speculative or version.provisional):
            await Workspace.filter(id=workspace_id).update(current_configuration_version_id=version.id)
    version.update_from_dict(changes)
    return version


async def _refuse(version: ConfigurationVersion, sentence: str) -> None:
    pending = ConfigurationVersion.filter(id=version.id, status=Status.PENDING.value)
    await pending.update(status=Status.ERRORED.value, error="invalid-archive", error_message=sentence)


async def _compare(version: ConfigurationVersion, sha256: str) -> None:
    archive = await stored_archive(version.id)
    if archive.sha256 != sha256:
        raise Conflict(
            f"The configuration version {version.id} has its archive already, and it is another one. Create another"
            " configuration version for this archive."
        )


async def _sha256(chunks: AsyncIterable[bytes]) -> str:
    """Of an archive that is longer than the longest accepted, no more than that is read."""
    limit = ArchiveLimits.of(settings.current()).packed
    digest, size = hashlib.sha256(), 0
    async for chunk in chunks:
        size += len(chunk)
        if size > limit.most:
            raise limit.exceeded()
        digest.update(chunk)
    return digest.hexdigest()


async def _of_living_workspace(version_id: str) -> ConfigurationVersion:
    version = (
        await ConfigurationVersion.filter(id=version_id, workspace__deleted_at=None)
        .prefetch_related("workspace")
        .first()
    )
    if version is None:
        raise NotFound("There is no such configuration version (any more); create another one.")
    return version

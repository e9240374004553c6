"""What a configuration version has to do with runs: one that asks for it is queued when its archive came, and a
provisional one becomes its workspace's current one when its run has applied."""

from __future__ import annotations

import structlog

from app import configurations
from app.access import tokens
from app.access.models import User
from app.configurations.models import ConfigurationVersion
from app.errors import Conflict, StateroomError
from app.runs import lifecycle
from app.runs.creation import RunOptions, create
from app.runs.models import Run, RunEvent
from app.workspaces.models import Workspace

log = structlog.get_logger(__name__)

MESSAGE = "Queued by the upload of its configuration"


async def queue_uploaded(version: ConfigurationVersion) -> None:
    """Queue a run of a version that asks for one, as whoever made the version; once, however often it is told."""
    if not version.auto_queue_runs or await Run.filter(configuration_version_id=version.id).exists():
        return
    user = await User.get_or_none(id=version.created_by_id)
    workspace = await Workspace.get_or_none(id=version.workspace_id, deleted_at=None)
    if user is None or workspace is None:
        return
    options = RunOptions(message=MESSAGE, source="tfe-configuration-version", only_first=True)
    try:
        await create(await tokens.actor_of(user), workspace, version, options)
    except StateroomError as error:
        # The upload is a success all the same: who uploads to a workspace of local execution wants no run.
        log.info("no run for an uploaded configuration", version=version.id, reason=error.sentence)


async def refuse_archiving(version: ConfigurationVersion) -> None:
    """Raise Conflict while a run of *version* has not ended: its phases unpack the archive."""
    unended = Run.filter(configuration_version_id=version.id, status__in=lifecycle.GROUPS["non_final"])
    run = await unended.order_by("number").first()
    if run is not None:
        raise Conflict(
            f"Run {run.id} of this configuration version {lifecycle.phrase(run).lower()}. Discard or cancel it, or"
            " wait for its end, then archive the version."
        )


async def adopt_applied(event: RunEvent) -> None:
    """Let the provisional configuration of a run that has applied be its workspace's current one."""
    if not lifecycle.is_applied(event.run):
        return
    version = await ConfigurationVersion.get(id=event.run.configuration_version_id)
    if version.provisional:
        await configurations.make_current(version)

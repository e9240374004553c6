"""What an apply sets off: a run in each workspace that a run trigger connects, once, however often it is told.

What was queued is a row of `runs` that names the run it followed, unique for each workspace, so a process that dies in
between and another that announces the move again make one run.
"""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from app.access.actors import SYSTEM, Actor
from app.configurations.models import ConfigurationVersion
from app.errors import StateroomError, Unavailable
from app.runs import lifecycle
from app.runs.actions import visible
from app.runs.creation import RunOptions, create
from app.runs.models import Run, RunEvent, RunTrigger
from app.workspaces import visibility
from app.workspaces.models import Workspace

log = structlog.get_logger(__name__)

SOURCE = "tfe-run-trigger"
REASON = "run_trigger"


@dataclass(frozen=True, slots=True)
class Followed:
    """A workspace that a run's apply triggers: the run it got, or why it gets none."""

    workspace: Workspace
    run: Run | None = None
    hindrance: str | None = None


async def fire(event: RunEvent) -> None:
    """Queue what the run's apply triggers, if it has applied."""
    run: Run = event.run
    if not lifecycle.is_applied(run):
        return
    outbound = RunTrigger.filter(sourceable_id=run.workspace_id, workspace__deleted_at=None)
    for trigger in await outbound.order_by("created_at", "id").prefetch_related("workspace", "sourceable"):
        await _follow(run, trigger)


def is_followed(run: Run) -> bool:
    """Whether run triggers have followed the apply of *run*, or still may."""
    return lifecycle.is_applied(run) or not (run.plan_only or lifecycle.is_final(run))


async def source_of(actor: Actor, run: Run) -> Run | None:
    """The run whose apply *run* followed, its workspace loaded, if *actor* may see it."""
    if run.triggering_run_id is None:
        return None
    return await visible(actor).filter(id=run.triggering_run_id).prefetch_related("workspace").first()


async def followed(actor: Actor, run: Run) -> list[Followed]:
    """What *run* triggers, or has triggered, as far as *actor* may see it; by the workspaces' names."""
    started = {one.workspace_id: one for one in await visible(actor).filter(triggering_run_id=run.id)}
    connected = RunTrigger.filter(sourceable_id=run.workspace_id).values_list("workspace_id", flat=True)
    targets = visibility.visible(actor).filter(id__in={*started, *map(str, await connected)})
    return [await _outlook(run, target, started.get(target.id)) for target in await targets.order_by("name")]


async def _outlook(run: Run, target: Workspace, started: Run | None) -> Followed:
    if started is not None:
        return Followed(target, started)
    return Followed(target, hindrance=await hindrance(run, target))


async def hindrance(run: Run, target: Workspace) -> str | None:
    """Why the apply of *run* queues no run in *target*; None if nothing hinders it."""
    if target.id in await _chain(run):
        return "it is part of what led to this run"
    if target.execution_mode == "local":
        return "its execution mode is local"
    current = await ConfigurationVersion.get_or_none(id=target.current_configuration_version_id)
    if current is None:
        return "it has no configuration yet"
    return None


async def _follow(run: Run, trigger: RunTrigger) -> None:
    target: Workspace = trigger.workspace
    if await Run.filter(triggering_run_id=run.id, workspace_id=target.id).exists():
        return
    why_not = await hindrance(run, target)
    if why_not is None:
        options = RunOptions(
            message=f"Triggered by {run.id} of the workspace {trigger.sourceable.name}",
            source=SOURCE,
            trigger_reason=REASON,
            triggering_run=run,
        )
        try:
            await create(SYSTEM, target, None, options)
        except Unavailable:
            raise  # it is announced again
        except StateroomError as error:
            why_not = error.sentence
    if why_not is not None:
        log.info("no run was triggered", by=run.id, workspace=target.id, reason=why_not)


async def _chain(run: Run) -> set[str]:
    """The workspaces that led to *run*, its own among them: none of them gets another run of the same chain."""
    chain, at = {run.workspace_id}, run
    while at.triggering_run_id is not None:
        before = await Run.get_or_none(id=at.triggering_run_id)
        if before is None or before.workspace_id in chain:
            break
        chain.add(before.workspace_id)
        at = before
    return chain

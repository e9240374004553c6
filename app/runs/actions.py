"""What can be done with runs: create, confirm, discard, cancel, force-cancel, comment."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from tortoise.expressions import F
from tortoise.queryset import QuerySet

from app import clock, configurations, events, ids, settings, variables
from app.access.actors import Actor, Kind
from app.access.permissions import Level, Place, grants, level_of, require
from app.configurations.models import ConfigurationVersion
from app.errors import Conflict, Forbidden, Invalid, NotFound
from app.jobs import queue as jobs
from app.runs import lifecycle, moves, queue, snapshot
from app.runs.models import Apply, Comment, Plan, Run, RunEvent
from app.secret import Secret
from app.storage import hot
from app.storage.database import in_transaction
from app.variables.precedence import Value
from app.workspaces import versions
from app.workspaces.models import Workspace

DEFAULT_MESSAGE = "Queued manually via the Terraform Enterprise API"


def run_variable(key: str, literal: str) -> Value:
    """A `-var` of the person who started the run: its value is a literal of Terraform's language."""
    return Value(key, Secret(literal), "terraform", hcl=True, sensitive=False, source="run")


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What a request may say about a new run; None leaves it to the workspace or the configuration version."""

    message: str | None = None
    plan_only: bool | None = None
    save_plan: bool = False
    auto_apply: bool | None = None
    is_destroy: bool = False
    refresh: bool = True
    refresh_only: bool = False
    allow_empty_apply: bool = False
    allow_config_generation: bool = False
    debugging_mode: bool = False
    terraform_version: str | None = None
    target_addrs: list[str] | None = None
    replace_addrs: list[str] | None = None
    variables: list[Value] = field(default_factory=list)
    source: str = "tfe-api"
    trigger_reason: str = "manual"
    #: Refuse if the configuration has a run already: what was announced twice is queued once.
    only_first: bool = False


def visible(actor: Actor) -> QuerySet[Run]:
    """The runs *actor* may know of."""
    runs = Run.filter(workspace__deleted_at=None)
    if actor.kind is Kind.SYSTEM:
        return runs
    return runs.filter(organization_id__in=list(actor.organization_ids))


async def find(actor: Actor, run_id: str) -> Run:
    """The run, its workspace loaded.  Raises NotFound, Forbidden."""
    run = await visible(actor).filter(id=run_id).select_related("workspace").first()
    if run is None:
        raise NotFound("There is no such run, or you may not see it.")
    await require(actor, "run:read", run.workspace)
    return run


async def show(actor: Actor, run_id: str) -> Run:
    """`find` without the workspace, by one quick query: every client asks this every second."""
    run = await hot.first(
        Run,
        "it.id = {} AND EXISTS (SELECT 1 FROM workspaces w WHERE w.id = it.workspace_id AND w.deleted_at IS NULL)",
        run_id,
    )
    if run is None or level_of(actor, run.organization_id) is Level.NONE:
        raise NotFound("There is no such run, or you may not see it.")
    await require(actor, "run:read", Place(run.workspace_id, run.organization_id))
    return run


async def create(
    actor: Actor,
    workspace: Workspace,
    configuration_version: ConfigurationVersion | None,
    options: RunOptions,
) -> Run:
    """Queue a run: pending, with configuration, variables and Terraform version as they are now.

    Without a *configuration_version* it is the workspace's current one.  If nothing stands in its way it goes on
    within the same transaction.
    """
    await require(actor, "run:queue", workspace)
    if options.is_destroy:
        await require(actor, "run:queue-destroy", workspace)
    configuration_version = configuration_version or await _current_configuration(workspace)
    _check(workspace, configuration_version, options)
    plan_only = configuration_version.speculative if options.plan_only is None else options.plan_only
    plan_only = plan_only or configuration_version.speculative
    may_apply = "run:apply" in grants(actor, workspace.organization_id)
    version = await _terraform_version(workspace, plan_only, options)
    values = await variables.effective(workspace, options.variables)
    run = Run(
        id=ids.new("run"),
        workspace_id=workspace.id,
        organization_id=workspace.organization_id,
        configuration_version_id=configuration_version.id,
        status=lifecycle.PENDING.value,
        message=options.message or DEFAULT_MESSAGE,
        source=options.source,
        trigger_reason=options.trigger_reason,
        engine=workspace.engine,
        terraform_version=version,
        plan_only=plan_only,
        save_plan=options.save_plan and not plan_only,
        is_destroy=options.is_destroy,
        refresh=options.refresh,
        refresh_only=options.refresh_only,
        auto_apply=_applies_by_itself(workspace, options, plan_only=plan_only, may_apply=may_apply),
        may_apply=may_apply,
        allow_empty_apply=options.allow_empty_apply,
        allow_config_generation=options.allow_config_generation,
        debugging_mode=options.debugging_mode,
        has_variables=bool(options.variables),
        target_addrs=options.target_addrs,
        replace_addrs=options.replace_addrs,
        created_by_id=actor.id,
        created_at=clock.now(),
    )
    async with in_transaction():
        spoken = await _store(actor, run, values, only_first=options.only_first)
    await moves.announce(spoken)
    return run


async def _store(actor: Actor, run: Run, values: list[Value], *, only_first: bool) -> list[RunEvent]:
    workspace = await Workspace.filter(id=run.workspace_id, deleted_at=None).select_for_update().first()
    if workspace is None:
        raise Conflict("The workspace was deleted meanwhile.")
    if only_first and await Run.filter(configuration_version_id=run.configuration_version_id).exists():
        raise Conflict("The configuration has its run already.")
    run.number = workspace.run_count + 1
    await run.save(force_create=True)
    await Plan.create(id=ids.plan_id(run.id), run_id=run.id)
    await Apply.create(id=ids.apply_id(run.id), run_id=run.id)
    await snapshot.take(run, values)
    await Workspace.filter(id=workspace.id).update(run_count=F("run_count") + 1, latest_run_id=run.id)
    spoken = [await moves.note(run, "create", by=actor)]
    for event in await queue.advance_within(workspace):
        spoken.append(event)
        if event.run.id == run.id:
            run.update_from_dict(
                {
                    "status": event.run.status,
                    "status_timestamps": event.run.status_timestamps,
                    "event_count": event.run.event_count,
                }
            )
    return spoken


async def _current_configuration(workspace: Workspace) -> ConfigurationVersion:
    current = await ConfigurationVersion.get_or_none(id=workspace.current_configuration_version_id)
    if current is None:
        raise Invalid(
            "The workspace has no configuration yet. Upload one, or name a configuration-version.",
            field="configuration_version",
        )
    return current


def _check(workspace: Workspace, configuration_version: ConfigurationVersion, options: RunOptions) -> None:
    if workspace.execution_mode == "local":
        raise Invalid(
            "The workspace's execution-mode is local: its runs happen on your machine. Set it to remote.",
            field="workspace",
        )
    if not configurations.is_usable(configuration_version):
        raise Invalid(
            f"The configuration version is {configuration_version.status}, not uploaded.",
            field="configuration_version",
        )
    if options.is_destroy and options.refresh_only:
        raise Invalid("A run is either is-destroy or refresh-only, not both.", field="refresh_only")
    if options.is_destroy and not workspace.allow_destroy_plan:
        raise Invalid("The workspace does not allow destroy plans (allow-destroy-plan is false).", field="is_destroy")
    if options.plan_only and options.save_plan:
        raise Invalid("A run is either plan-only or save-plan, not both.", field="save_plan")


def _applies_by_itself(workspace: Workspace, options: RunOptions, *, plan_only: bool, may_apply: bool) -> bool:
    """A destroy run only when the request itself says so; never what its creator could not confirm."""
    if plan_only or options.save_plan or not may_apply:
        return False
    if options.auto_apply is not None:
        return options.auto_apply
    return workspace.auto_apply and not options.is_destroy


async def _terraform_version(workspace: Workspace, plan_only: bool, options: RunOptions) -> str:
    if options.terraform_version is None:
        # Nobody waits for the answer where a run is queued by itself: there the run says that its version has gone.
        return await versions.resolve(workspace.engine, workspace.terraform_version, strict=not options.only_first)
    if not plan_only:
        raise Invalid("Only a plan-only run may name a terraform-version of its own.", field="terraform_version")
    return await versions.resolve(workspace.engine, options.terraform_version)


async def confirm(actor: Actor, run: Run, comment: str | None = None) -> None:
    """Let the plan be applied.  A saved plan takes the workspace's lock, which must be free."""
    await require(actor, "run:apply", await _workspace(run))
    if not lifecycle.is_confirmable(run):
        raise Conflict(f"The run is {lifecycle.label(run)} and does not wait for a confirmation.")
    await moves.move(run, "confirm", by=actor, comment=comment, confirmed_by_id=actor.id)


async def discard(actor: Actor, run: Run, comment: str | None = None) -> None:
    """Skip what is left of a run that waits."""
    await require(actor, "run:apply", await _workspace(run))
    if not lifecycle.is_discardable(run):
        raise Conflict(f"The run is {lifecycle.label(run)} and cannot be discarded.")
    await moves.move(run, "discard", by=actor, comment=comment)


async def cancel(actor: Actor, run: Run, comment: str | None = None) -> None:
    """End a run: at once where nobody works on it, else by interrupting terraform, which saves its state.

    Who started a plan-only run may cancel it without the right to apply.
    """
    workspace = await _workspace(run)
    started_it = run.plan_only and run.created_by_id == actor.id and actor.id is not None
    await require(actor, "run:queue" if started_it else "run:apply", workspace)
    if run.cancel_requested_at is not None and not lifecycle.is_final(run):
        return
    if not lifecycle.is_cancelable(run):
        raise Conflict(f"The run is {lifecycle.label(run)} and cannot be canceled.")
    now = clock.now()
    wish: dict[str, Any] = {
        "cancel_requested_at": now,
        "force_cancel_available_at": now + timedelta(seconds=settings.current().force_cancel_cooloff),
        "canceled_by_id": actor.id,
    }
    async with in_transaction():
        await Workspace.filter(id=workspace.id).select_for_update().only("id").first()
        if await jobs.is_claimed(run.id):
            unmoved = Run.filter(id=run.id, status=run.status, cancel_requested_at=None)
            if not await unmoved.update(**wish):
                raise Conflict(f"{run.id} moved on meanwhile. Look at it again, then decide.")
            run.update_from_dict(wish)
            spoken = [await moves.note(run, "cancel", by=actor, comment=comment)]
        else:
            spoken = await moves.speak(run, "stop", by=actor, comment=comment, **wish)
    await moves.announce(spoken)
    await events.run_wished.announce(run)


async def force_cancel(actor: Actor, run: Run, comment: str | None = None) -> None:
    """End a run now, without its worker: its token is dead and the workspace free before anything is killed.

    What terraform was doing may be lost; allowed only after a cancel and its cool-off.
    """
    await require(actor, "run:force-cancel", await _workspace(run))
    if run.force_cancel_available_at is None or lifecycle.is_final(run):
        raise Conflict("A run can be force-canceled only after a cancel, while it still has not ended.")
    if not lifecycle.is_force_cancelable(run):
        raise Conflict(
            f"Give the cancel until {clock.wire(run.force_cancel_available_at)} to save the state; then force it."
        )
    now = clock.now()
    async with in_transaction():
        spoken = await moves.speak(run, "stop", by=actor, comment=comment, force_canceled_at=now)
        await Plan.filter(run_id=run.id, log_closed_at=None).update(log_closed_at=now)
        await Apply.filter(run_id=run.id, log_closed_at=None).update(log_closed_at=now)
    await moves.announce(spoken)
    await events.run_wished.announce(run)


async def comment(actor: Actor, run: Run, body: str) -> Comment:
    """Write a remark on a run; it appears in its timeline."""
    await require(actor, "run:comment", await _workspace(run))
    if not body.strip():
        raise Invalid("A comment needs a text.", field="body")
    if actor.id is None:
        raise Forbidden("Only a person may comment on a run.", permission="run:comment")
    async with in_transaction():
        event = await moves.note(run, "comment", by=actor, comment=body)
    await moves.announce([event])
    return await Comment.get(id=event.comment_id)


async def discard_stale(workspace_id: str) -> None:
    """Discard the saved plans of a workspace that were made against a state that is no longer current."""
    workspace = await Workspace.get(id=workspace_id)
    saved = Run.filter(workspace_id=workspace_id, status=lifecycle.PLANNED_AND_SAVED)
    for run in await saved:
        if run.input_state_version_id != workspace.current_state_version_id:
            with suppress(Conflict):  # somebody confirmed or discarded it first: it is theirs
                await moves.move(run, "discard")


async def _workspace(run: Run) -> Workspace:
    return await Workspace.get(id=run.workspace_id)

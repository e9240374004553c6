"""How a run comes to be: what a request may say about it, what is fixed with it, and a finished plan made anew."""

from __future__ import annotations

from dataclasses import dataclass, field

from tortoise.expressions import F

from app import clock, configurations, ids, variables
from app.access.actors import Actor
from app.access.permissions import grants, require
from app.configurations.models import ConfigurationVersion
from app.errors import Conflict, Invalid
from app.plain_text import plain, shortened
from app.runs import addresses, lifecycle, moves, queue, snapshot, stages
from app.runs.models import Apply, Plan, Run, RunEvent
from app.secret import Secret
from app.storage.database import in_transaction
from app.variables.precedence import Value
from app.workspaces import versions
from app.workspaces.models import Workspace

DEFAULT_MESSAGE = "Queued manually via the Terraform Enterprise API"
#: The characters of the longest message; lists show a hundred of them.
MOST_MESSAGE = 2048


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
    #: Who let a stranger's code be planned: such a run gets no secrets, no network and no other state.
    restricted_by: Actor | None = None
    #: The run whose apply a run trigger follows: it queues one in each workspace, however often it is told.
    triggering_run: Run | None = None


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
    run, values = await _planned(actor, workspace, configuration_version, options)
    async with in_transaction():
        spoken = await _store(actor, run, values, only_first=options.only_first)
    await moves.announce(spoken)
    return run


async def create_within(
    actor: Actor, workspace: Workspace, configuration_version: ConfigurationVersion, options: RunOptions
) -> tuple[Run, list[RunEvent]]:
    """`create` inside the caller's transaction; the caller announces what is returned once that has ended."""
    run, values = await _planned(actor, workspace, configuration_version, options)
    return run, await _store(actor, run, values, only_first=options.only_first)


async def _planned(
    actor: Actor, workspace: Workspace, configuration_version: ConfigurationVersion | None, options: RunOptions
) -> tuple[Run, list[Value]]:
    """The run that is asked for, not stored yet, and the variables it gets."""
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
    restricted_by = await _restricting(actor, configuration_version, options)
    if restricted_by is not None:
        if not plan_only:
            raise Invalid("A stranger's code is only planned, never applied.", field="plan_only")
        values = [value for value in values if not value.sensitive]
    variables.check_environment(values)
    run = Run(
        id=ids.new("run"),
        workspace_id=workspace.id,
        organization_id=workspace.organization_id,
        configuration_version_id=configuration_version.id,
        status=lifecycle.FIRST.value,
        message=_message(options),
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
        triggering_run_id=options.triggering_run.id if options.triggering_run else None,
        triggering_source_id=options.triggering_run.workspace_id if options.triggering_run else None,
        is_restricted=restricted_by is not None,
        restricted_by_id=restricted_by.id if restricted_by else None,
        created_at=clock.now(),
    )
    return run, values


async def _restricting(actor: Actor, version: ConfigurationVersion, options: RunOptions) -> Actor | None:
    """Who answers for a stranger's code, or None if it is none: a configuration that was once planned as such is one
    for good, whoever starts another run of it."""
    if options.restricted_by is not None or not version.speculative:
        return options.restricted_by
    return actor if await Run.filter(configuration_version_id=version.id, is_restricted=True).exists() else None


async def retry(actor: Actor, run: Run, terraform_version: str | None = None) -> Run:
    """Make a plan nobody can apply anew, once it has ended: the same configuration and options, today's variables and
    state, and *terraform_version* if one is named."""
    workspace = await Workspace.get(id=run.workspace_id)
    await require(actor, "run:queue", workspace)
    if not lifecycle.is_retryable(run):
        raise Conflict("Only a plan-only run that has ended can be retried. Start a new run instead.")
    options = RunOptions(
        message=run.message,
        plan_only=True,
        is_destroy=run.is_destroy,
        refresh=run.refresh,
        refresh_only=run.refresh_only,
        allow_config_generation=run.allow_config_generation,
        debugging_mode=run.debugging_mode,
        terraform_version=terraform_version or run.terraform_version,
        target_addrs=run.target_addrs,
        replace_addrs=run.replace_addrs,
        variables=[value for value in await snapshot.read(run) if value.source == "run"],
        source=run.source,
    )
    configuration_version = await ConfigurationVersion.get(id=run.configuration_version_id)
    return await create(actor, workspace, configuration_version, options)


async def _store(actor: Actor, run: Run, values: list[Value], *, only_first: bool) -> list[RunEvent]:
    workspace = await Workspace.filter(id=run.workspace_id, deleted_at=None).select_for_update().first()
    if workspace is None:
        raise Conflict("The workspace was deleted meanwhile.")
    if only_first and await Run.filter(configuration_version_id=run.configuration_version_id).exists():
        raise Conflict("The configuration has its run already.")
    triggered = Run.filter(workspace_id=run.workspace_id, triggering_run_id=run.triggering_run_id)
    if run.triggering_run_id is not None and await triggered.exists():
        raise Conflict(f"{run.triggering_run_id} has triggered its run here already.")
    # It may have been archived meanwhile; whoever does that holds the workspace, as we do.
    configurations.require_usable(await ConfigurationVersion.get(id=run.configuration_version_id))
    run.number = workspace.run_count + 1
    run.stages = await stages.chosen(run, workspace)
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
            field="/data/relationships/configuration-version",
        )
    return current


def _check(workspace: Workspace, configuration_version: ConfigurationVersion, options: RunOptions) -> None:
    if workspace.execution_mode == "local":
        raise Invalid(
            "The workspace's execution-mode is local: its runs happen on your machine. Set it to remote.",
            field="/data/relationships/workspace",
        )
    if configuration_version.workspace_id != workspace.id:
        raise Invalid(
            f"The configuration version {configuration_version.id} belongs to another workspace. Name one of"
            f" {workspace.name}, or upload the configuration to it.",
            field="/data/relationships/configuration-version",
        )
    configurations.require_usable(configuration_version)
    if options.is_destroy and options.refresh_only:
        raise Invalid("A run is either is-destroy or refresh-only, not both.", field="refresh_only")
    if options.is_destroy and not workspace.allow_destroy_plan:
        raise Invalid("The workspace does not allow destroy plans (allow-destroy-plan is false).", field="is_destroy")
    if options.plan_only and options.save_plan:
        raise Invalid("A run is either plan-only or save-plan, not both.", field="save_plan")
    addresses.check({"target_addrs": options.target_addrs, "replace_addrs": options.replace_addrs})


def _message(options: RunOptions) -> str:
    """Cut, not refused: the message of a commit may be of any length, and its run is wanted all the same."""
    return shortened(plain(options.message or "").strip() or DEFAULT_MESSAGE, MOST_MESSAGE)


def _applies_by_itself(workspace: Workspace, options: RunOptions, *, plan_only: bool, may_apply: bool) -> bool:
    """Never a saved plan, nor what its creator could not confirm; a destroy run only when the request says so."""
    if plan_only or options.save_plan or not may_apply:
        return False
    if options.auto_apply is not None:
        return options.auto_apply
    if options.is_destroy:
        return False
    return workspace.auto_apply_run_trigger if options.trigger_reason == "run_trigger" else workspace.auto_apply


async def _terraform_version(workspace: Workspace, plan_only: bool, options: RunOptions) -> str:
    if options.terraform_version is None:
        # Nobody waits for the answer where a run is queued by itself: there the run says that its version has gone.
        return await versions.resolve(workspace.engine, workspace.terraform_version, strict=not options.only_first)
    if not plan_only:
        raise Invalid("Only a plan-only run may name a terraform-version of its own.", field="terraform_version")
    return await versions.resolve(workspace.engine, options.terraform_version)

"""What can be done with workspaces, beside locking and tagging them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from tortoise.exceptions import IntegrityError
from tortoise.queryset import QuerySet

from app import clock, events, ids, organizations
from app.access.actors import Actor
from app.access.permissions import require, require_in_organization
from app.errors import Conflict, Invalid
from app.organizations.models import Organization
from app.projects.models import Project
from app.storage.database import in_transaction
from app.wording import counted
from app.workspaces import settings, tags, versions
from app.workspaces.models import Workspace

#: Called in the transaction that writes a workspace, with that: whoever raises undoes it.
Also = Callable[[Workspace], Awaitable[None]]


async def create(
    actor: Actor,
    organization: Organization,
    name: str,
    *,
    project: Project | None = None,
    tag_bindings: Mapping[str, str] | None = None,
    client_version: str | None = None,
    also: Also | None = None,
    **given: Any,
) -> Workspace:
    """Make a workspace, in the default project unless one is named.

    *client_version* is the version of the terraform that asks, if one does; *given* are columns
    (`settings.CHECKS`).
    """
    await require_in_organization(actor, "workspace:create", organization.id)
    values = settings.checked({"execution_mode": organization.default_execution_mode, **given, "name": name})
    _check_patterns(values.get("trigger_prefixes"), values.get("trigger_patterns"))
    tags.check(tag_bindings or {})
    engine = values.setdefault("engine", "terraform")
    values["terraform_version"] = await versions.for_new_workspace(
        values.get("terraform_version"), engine, client_version
    )
    now = clock.now()
    try:
        async with in_transaction():
            await _name_is_free(organization.id, name)
            workspace = await Workspace.create(
                id=ids.new("workspace"),
                organization=organization,
                project_id=await _project_id(organization, project),
                created_at=now,
                updated_at=now,
                latest_change_at=now,
                **values,
            )
            await tags.write(workspace, tag_bindings or {})
            if also:
                await also(workspace)
            await organizations.require_living(organization.id)
    except IntegrityError as error:
        raise _taken() from error
    return workspace


async def update(
    actor: Actor,
    workspace: Workspace,
    *,
    project: Project | None = None,
    tag_bindings: Mapping[str, str] | None = None,
    also: Also | None = None,
    **given: Any,
) -> Workspace:
    """Change what is given.  *tag_bindings* replace those there are."""
    await require(actor, "workspace:update", workspace)
    changes = settings.checked(given)
    _check_patterns(
        changes.get("trigger_prefixes", workspace.trigger_prefixes),
        changes.get("trigger_patterns", workspace.trigger_patterns),
    )
    if "terraform_version" in changes or "engine" in changes:
        await _check_version(workspace, changes)
    if project is not None:
        changes["project_id"] = project.id
    try:
        async with in_transaction():
            if tag_bindings is not None:
                await tags.replace(actor, workspace, tag_bindings)
            fresh = await Workspace.filter(id=workspace.id, deleted_at=None).select_for_update().first()
            if fresh is None:
                raise Conflict(f"The workspace {workspace.name} was deleted meanwhile.")
            if changes.get("name", fresh.name) != fresh.name:
                await _name_is_free(workspace.organization_id, changes["name"])
            changes["updated_at"] = clock.now()
            await Workspace.filter(id=workspace.id).update(**changes)
            if also:
                await also(fresh.update_from_dict(changes))
    except IntegrityError as error:
        raise _taken() from error
    await workspace.refresh_from_db(fields=list(changes))
    return workspace


async def delete(actor: Actor, workspace: Workspace) -> None:
    """Delete *workspace* whatever it manages.  Its row and its states stay for a while; its name is free at
    once, and its runs that wait are ended.  Refused while a run holds it or a worker is at one of its runs."""
    await require(actor, "workspace:force-delete", workspace)
    async with in_transaction():
        await _delete(await _locked(workspace))
    await events.workspace_deleted.announce(workspace.id)


async def safe_delete(actor: Actor, workspace: Workspace) -> None:
    """Delete *workspace* if it manages no resources and nobody works on it."""
    await require(actor, "workspace:delete", workspace)
    async with in_transaction():
        fresh = await _locked(workspace)
        if fresh.locked_by_user_id is not None:
            raise Conflict(f"The workspace {fresh.name} is locked. Unlock it first, then delete it.")
        # The model of state versions lies above workspaces and is reached by relation.
        if await fresh.state_versions.filter(status="pending", intermediate=False).exists():
            raise Conflict(
                f"The latest state of {fresh.name} is still being processed. Try again in a moment, or force the"
                " deletion."
            )
        if fresh.resource_count:
            resources = counted(fresh.resource_count, "resource")
            raise Conflict(
                f"The workspace {fresh.name} still manages {resources}. Destroy them first"
                " (terraform destroy), or force the deletion and leave them without a state."
            )
        await _delete(fresh)
    await events.workspace_deleted.announce(workspace.id)


async def delete_all(organization: Organization) -> None:
    """Delete the workspaces of an organization that is being deleted, inside that transaction.  Its runs are ended
    afterwards, as those of one workspace are."""
    living = Workspace.filter(organization_id=organization.id, deleted_at=None)
    held = await living.filter(locked_by_run_id__isnull=False).order_by("name").first()
    if held is not None:
        raise _held(held, "organization")
    await living.update(**_gone())
    # Written first, then looked at: what a run took meanwhile has made it wait, and is seen now.
    runs: Any = Workspace._meta.fields_map["runs"].related_model  # type: ignore[attr-defined]
    working = await _working(runs.filter(organization_id=organization.id))
    if working is not None:
        raise _processed(working, working.workspace, "organization")


async def _delete(workspace: Workspace) -> None:
    if workspace.locked_by_run_id is not None:
        raise _held(workspace, "workspace")
    working = await _working(workspace.runs.all())
    if working is not None:
        raise _processed(working, workspace, "workspace")
    await Workspace.filter(id=workspace.id).update(**_gone())


def _gone() -> dict[str, Any]:
    now = clock.now()
    nobody = {"locked_by_user_id": None, "locked_reason": None, "locked_at": None}
    return {"deleted_at": now, "updated_at": now, **nobody}


async def _working(runs: QuerySet[Any]) -> Any:
    """The first of *runs* that a worker is at, or whose log it still closes."""
    taken = runs.filter(jobs__worker_id__isnull=False, jobs__closed_at=None)
    return await taken.prefetch_related("workspace").first()


def _held(workspace: Workspace, what: str) -> Conflict:
    return Conflict(
        f"The workspace {workspace.name} is locked by Run {workspace.locked_by_run_id}. Discard or cancel that run"
        f" first, or wait for its end, then delete the {what}."
    )


def _processed(run: Any, workspace: Workspace, what: str) -> Conflict:
    return Conflict(
        f"Run {run.id} of the workspace {workspace.name} is being processed. Cancel it first, or wait for its end,"
        f" then delete the {what}."
    )


async def _locked(workspace: Workspace) -> Workspace:
    fresh = await Workspace.filter(id=workspace.id, deleted_at=None).select_for_update().first()
    if fresh is None:
        raise Conflict(f"The workspace {workspace.name} was deleted meanwhile.")
    return fresh


async def _check_version(workspace: Workspace, changes: Mapping[str, Any]) -> None:
    engine = changes.get("engine", workspace.engine)
    version = changes.get("terraform_version", workspace.terraform_version)
    if version is None:
        raise Invalid("A workspace needs a Terraform version.", field="terraform_version")
    versions.check(version, engine, await versions.offered(engine))


async def _project_id(organization: Organization, project: Project | None) -> str:
    if project is None:
        project = await Project.get(organization_id=organization.id, is_default=True)
    return project.id


def _check_patterns(prefixes: list[str] | None, patterns: list[str] | None) -> None:
    if prefixes and patterns:
        raise Invalid(
            "A workspace has either trigger prefixes or trigger patterns, not both. Clear the one you do not want.",
            field="trigger_patterns",
        )


async def _name_is_free(organization_id: str, name: str) -> None:
    if await Workspace.filter(organization_id=organization_id, name=name, deleted_at=None).exists():
        raise _taken()


def _taken() -> Invalid:
    return Invalid("Name has already been taken.", field="name")

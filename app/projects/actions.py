"""What can be done with projects."""

from __future__ import annotations

import re

from tortoise.exceptions import IntegrityError
from tortoise.queryset import QuerySet

from app import clock, ids
from app.access.actors import Actor, Kind
from app.access.permissions import require_in_organization
from app.errors import Conflict, Forbidden, Invalid
from app.organizations.models import Organization
from app.projects.models import Project
from app.storage.database import in_transaction

_WELL_FORMED = re.compile(r"[A-Za-z0-9_-](?:[A-Za-z0-9 _-]*[A-Za-z0-9_-])?")


def visible(actor: Actor) -> QuerySet[Project]:
    """The projects *actor* may know of.  A run's token reads none."""
    if actor.kind is Kind.SYSTEM:
        return Project.all()
    return Project.filter(organization_id__in=list(actor.organization_ids))


async def create(actor: Actor, organization: Organization, name: str, *, description: str = "") -> Project:
    await require_in_organization(actor, "project:create", organization.id)
    _check_name(name)
    _check_description(description)
    try:
        async with in_transaction():
            await _name_is_free(organization.id, name)
            return await Project.create(
                id=ids.new("project"),
                organization_id=organization.id,
                name=name,
                description=description,
                created_at=clock.now(),
            )
    except IntegrityError as error:
        raise _taken() from error


async def update(actor: Actor, project: Project, *, name: str | None = None, description: str | None = None) -> Project:
    """Change what is given; None leaves it as it was."""
    await require_in_organization(actor, "project:update", project.organization_id)
    changes: dict[str, str] = {}
    if name is not None and name != project.name:
        _check_name(name)
        changes["name"] = name
    if description is not None:
        _check_description(description)
        changes["description"] = description
    if not changes:
        return project
    try:
        async with in_transaction():
            if "name" in changes:
                await _name_is_free(project.organization_id, changes["name"])
            await Project.filter(id=project.id).update(**changes)
    except IntegrityError as error:
        raise _taken() from error
    project.update_from_dict(changes)
    return project


async def delete(actor: Actor, project: Project) -> None:
    """Delete a project that holds no workspaces; the default one stays."""
    await require_in_organization(actor, "project:delete", project.organization_id)
    if project.is_default:
        raise Forbidden("The default project of an organization cannot be deleted.")
    async with in_transaction():
        await Project.filter(id=project.id).select_for_update().only("id").first()
        if await project.workspaces.filter(deleted_at=None).exists():
            raise Conflict(
                f"The project {project.name} still holds workspaces. Move them to another project or delete them first."
            )
        default = await Project.get(organization_id=project.organization_id, is_default=True)
        # Deleted workspaces keep their rows, so these must belong somewhere.
        await project.workspaces.all().update(project_id=default.id)
        await Project.filter(id=project.id).delete()


async def default_of(organization: Organization) -> Project:
    return await Project.get(organization_id=organization.id, is_default=True)


async def _name_is_free(organization_id: str, name: str) -> None:
    if await Project.filter(organization_id=organization_id, name=name).exists():
        raise _taken()


def _check_name(name: str) -> None:
    if not 3 <= len(name) <= 40:
        raise Invalid("The name of a project has 3 to 40 characters.", field="name")
    if not _WELL_FORMED.fullmatch(name):
        raise Invalid(
            "The name of a project has only letters, digits, spaces, hyphens and underscores, and no space at an end.",
            field="name",
        )


def _check_description(description: str) -> None:
    if len(description) > 256:
        raise Invalid("The description of a project has at most 256 characters.", field="description")


def _taken() -> Invalid:
    return Invalid("Name has already been taken.", field="name")

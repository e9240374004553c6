"""Which workspaces an actor may know of."""

from __future__ import annotations

from tortoise.expressions import Q, Subquery
from tortoise.queryset import QuerySet

from app.access.actors import Actor, Kind
from app.errors import NotFound
from app.organizations.models import Organization
from app.workspaces.models import RemoteStateConsumer, Workspace


def visible(actor: Actor) -> QuerySet[Workspace]:
    """Those of the actor's organizations; for a run its own and those that share their
    state with it; a restricted one knows its own alone.

    Deleted ones are never among them.
    """
    living = Workspace.filter(deleted_at=None)
    if actor.kind is Kind.SYSTEM:
        return living
    if actor.claims is None:
        return living.filter(organization_id__in=list(actor.organization_ids))
    own = actor.claims.workspace_id
    if actor.claims.is_restricted:
        return living.filter(id=own, organization_id=actor.claims.organization_id)
    sharing = RemoteStateConsumer.filter(consumer_id=own).values("workspace_id")
    return living.filter(organization_id=actor.claims.organization_id).filter(
        Q(id=own) | Q(global_remote_state=True) | Q(id__in=Subquery(sharing))
    )


def subquery(actor: Actor) -> Subquery:
    """The ids of those, to look for what lies in them."""
    return Subquery(visible(actor).values("id"))


async def find(actor: Actor, workspace_id: str) -> Workspace:
    workspace = await visible(actor).select_related("organization").get_or_none(id=workspace_id)
    if workspace is None:
        raise NotFound(f"There is no workspace {workspace_id}, or you may not see it.")
    return workspace


async def find_by_name(actor: Actor, organization: Organization, name: str) -> Workspace:
    workspace = (
        await visible(actor).select_related("organization").get_or_none(organization_id=organization.id, name=name)
    )
    if workspace is None:
        raise NotFound(f"There is no workspace {name} in {organization.name}, or you may not see it.")
    return workspace

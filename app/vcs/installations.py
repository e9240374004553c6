"""Which installations of the GitHub App an organization may use."""

from __future__ import annotations

from tortoise.expressions import Subquery
from tortoise.queryset import QuerySet

from app import organizations
from app.access.actors import Actor
from app.errors import NotFound
from app.vcs.models import Installation, InstallationLink, Repository


def linked_to(*organization_ids: str) -> QuerySet[Installation]:
    """Those that any of the organizations may use, suspended ones too, by the account's name."""
    links = InstallationLink.filter(organization_id__in=list(organization_ids)).values("installation_id")
    return Installation.filter(deleted_at=None, id__in=Subquery(links)).order_by("account_login", "id")


async def visible(actor: Actor) -> QuerySet[Installation]:
    """Those that an organization of *actor*'s may use; a run's token sees none."""
    if actor.claims is not None:
        return Installation.filter(id="")
    return linked_to(*[one.id for one in await organizations.visible(actor).only("id")])


async def find(actor: Actor, installation_id: str) -> Installation:
    found = await (await visible(actor)).get_or_none(id=installation_id)
    if found is None:
        raise NotFound(f"There is no installation {installation_id[:60]} of the GitHub App, or you may not see it.")
    return found


async def is_for_everyone(link: InstallationLink) -> bool:
    """Whether all who may change the organization's workspaces connect any repository of the installation: as a site
    admin said, else while no other organization may use it."""
    if link.everyone is not None:
        return link.everyone
    links = InstallationLink.filter(installation_id=link.installation_id, organization__deleted_at=None)
    return not await links.exclude(organization_id=link.organization_id).exists()


async def repository_names(organization_id: str, most: int) -> list[str]:
    """What everyone in the organization may connect, by name; no more than *most*.  Other names are not told."""
    links = await InstallationLink.filter(organization_id=organization_id, installation__deleted_at=None)
    free = [link.installation_id for link in links if await is_for_everyone(link)]
    seen = Repository.filter(installation_id__in=free, lost=None)
    return [one.full_name for one in await seen.order_by("full_name").limit(most).only("id", "full_name")]

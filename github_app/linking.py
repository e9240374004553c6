"""Which organizations of ours may use an installation: what they could otherwise read of each other's code.

Anybody can send a browser here with the number of somebody's installation, so a link takes a proof that GitHub gave, or
a site admin.  Source: `github-app.md` §1.4 of the protocol notes.
"""

from __future__ import annotations

import structlog
from tortoise.exceptions import IntegrityError

from app import clock
from app.access.actors import Actor
from app.access.permissions import require_in_organization, require_on_site
from app.errors import Conflict, Forbidden, NotFound
from app.organizations.models import Organization
from app.vcs.models import Connection, Installation, InstallationLink
from github_app import accounts, apps, installations
from github_app.accounts import Proof

log = structlog.get_logger(__name__)


async def link(
    actor: Actor, installation: Installation, organization: Organization, proof: Proof | None = None
) -> InstallationLink:
    """Let *organization* connect repositories that *installation* sees; once more changes nothing.

    With a *proof* of its own account, a member of the organization does; without, a site admin.  Whoever sees an
    installation at GitHub may still see few of its repositories, so where there are several organizations, members
    prove each to be readable (`let_everyone`), unless the account is the prover's own or a site admin made the link.
    """
    if proof is None:
        await require_on_site(actor, "github-app:link")
    else:
        await require_in_organization(actor, "installation:link", organization.id)
        _check(actor, installation, proof)
    if installation.deleted_at is not None:
        raise Conflict(installation.trouble or "The installation is gone.")
    made = InstallationLink(installation_id=installation.id, organization_id=organization.id)
    made.linked_by_id, made.created_at = actor.id, clock.now()
    if proof is not None and proof.number != installation.account_number and not await _is_alone(organization):
        made.everyone = False
    try:
        await made.save(force_create=True)
    except IntegrityError:
        return await InstallationLink.get(installation_id=installation.id, organization_id=organization.id)
    log.info("an installation was linked", installation=installation.id, organization=organization.id, by=actor.id)
    await installations.refresh_soon(await apps.find(installation.app_id))  # repositories of an earlier one come along
    return made


async def unlink(actor: Actor, installation: Installation, organization: Organization) -> None:
    """Let *organization* use *installation* no more.  Raises Conflict while workspaces of it follow repositories
    through the installation: they are disconnected first, by those whose they are."""
    if actor.is_site_admin:
        await require_on_site(actor, "github-app:link")
    else:
        await require_in_organization(actor, "installation:unlink", organization.id)
    following = Connection.filter(
        repository__installation_id=installation.id,
        workspace__organization_id=organization.id,
        workspace__deleted_at=None,
    )
    if count := await following.count():
        many = "workspace follows a repository" if count == 1 else "workspaces follow repositories"
        raise Conflict(
            f"{count} {many} of {installation.account_login} in {organization.name}. Disconnect them first, on their"
            " Version control pages."
        )
    await InstallationLink.filter(installation_id=installation.id, organization_id=organization.id).delete()
    log.info("an installation was unlinked", installation=installation.id, organization=organization.id, by=actor.id)


async def let_everyone(actor: Actor, link: InstallationLink, everyone: bool | None) -> None:
    """Whether all who may change the organization's workspaces connect any repository of the installation; None: as
    long as no other organization is linked to it.  Others need a linked account that may read the repository."""
    await require_on_site(actor, "github-app:link")
    await InstallationLink.filter(id=link.id).update(everyone=everyone)
    link.everyone = everyone


def _check(actor: Actor, installation: Installation, proof: Proof) -> None:
    accounts.check(actor, proof, installation.app_id)
    if installation.number not in proof.installations:
        raise Forbidden(
            f"{proof.login} does not see the installation in {installation.account_login} at GitHub, so it cannot be"
            " linked for them. A site admin can link it."
        )


async def _is_alone(organization: Organization) -> bool:
    """Whether there is no other organization here, from which something could be kept."""
    if organization.deleted_at is not None:
        raise NotFound("There is no such organization, or you may not see it.")
    return not await Organization.filter(deleted_at=None).exclude(id=organization.id).exists()

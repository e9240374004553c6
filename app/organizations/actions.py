"""What can be done with organizations."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from tortoise.exceptions import IntegrityError
from tortoise.queryset import QuerySet

from app import clock, events, ids, settings
from app.access import tokens
from app.access.actors import Actor, Kind
from app.access.models import Membership, User
from app.access.permissions import require_in_organization, require_on_site
from app.errors import Conflict, Invalid, NotFound
from app.organizations import names
from app.organizations.models import Organization
from app.storage.database import in_transaction

DEFAULT_PROJECT_NAME = "Default Project"

#: Called inside the transaction that deletes an organization, before its row is written: whoever raises keeps it.
BeforeDelete = Callable[[Organization], Awaitable[None]]

_before_delete: list[BeforeDelete] = []


def before_delete(*listeners: BeforeDelete) -> None:
    """Ask *listeners*; one that is asked already is not added again."""
    _before_delete.extend(one for one in listeners if one not in _before_delete)


def visible(actor: Actor) -> QuerySet[Organization]:
    """The organizations *actor* may know of: those it belongs to, a run's own, all of them for the system."""
    if actor.kind is Kind.SYSTEM:
        return Organization.filter(deleted_at=None)
    if actor.claims is not None:
        return Organization.filter(id=actor.claims.organization_id, deleted_at=None)
    return Organization.filter(id__in=list(actor.organization_ids), deleted_at=None)


async def find(actor: Actor, name: str) -> Organization:
    """The organization called *name*, if *actor* may know of it."""
    organization = await visible(actor).get_or_none(name=name)
    if organization is None:
        raise NotFound(f"There is no organization {name}, or you may not see it.")
    return organization


async def show(actor: Actor, name: str) -> Organization:
    organization = await find(actor, name)
    await require_in_organization(actor, "organization:read", organization.id)
    return organization


async def entitlements(actor: Actor, organization: Organization) -> Organization:
    """*organization*, for who may read what it can use: its members, and its runs."""
    await require_in_organization(actor, "entitlement:read", organization.id)
    return organization


async def create(actor: Actor, name: str, *, email: str | None = None, owner: User | None = None) -> Organization:
    """Make an organization with its default project; *owner*, else whoever asks, is its first owner."""
    if not (actor.kind is Kind.USER and settings.current().organizations_open):
        await require_on_site(actor, "organization:create")
    names.check(name)
    _check_email(email)
    owner_id = owner.id if owner is not None else actor.id
    now = clock.now()
    try:
        async with in_transaction():
            if await Organization.filter(name=name).exists():
                raise _taken()
            organization = await Organization.create(id=ids.new("organization"), name=name, email=email, created_at=now)
            # Projects lie above organizations, so the model is asked for by relation and not imported.
            await organization.projects.remote_model.create(
                id=ids.new("project"),
                organization_id=organization.id,
                name=DEFAULT_PROJECT_NAME,
                is_default=True,
                created_at=now,
            )
            if owner_id is not None:
                await _enter(organization.id, owner_id)
    except IntegrityError as error:
        raise _taken() from error
    tokens.forget_known()
    return organization


async def add_owner(actor: Actor, organization: Organization, user: User) -> None:
    """Let *user* belong to *organization*; once is enough."""
    await require_in_organization(actor, "organization:update", organization.id)
    async with in_transaction():
        if not await Membership.filter(organization_id=organization.id, user_id=user.id).exists():
            await _enter(organization.id, user.id)
    tokens.forget_known()


async def update(
    actor: Actor,
    organization: Organization,
    *,
    name: str | None = None,
    email: str | None = None,
    default_execution_mode: str | None = None,
) -> Organization:
    """Change what is given; None leaves it as it was."""
    await require_in_organization(actor, "organization:update", organization.id)
    changes: dict[str, str] = {}
    if name is not None and name != organization.name:
        changes["name"] = names.check(name)
    if email is not None:
        _check_email(email)
        changes["email"] = email
    if default_execution_mode is not None:
        if default_execution_mode not in ("remote", "local"):
            raise Invalid(
                "The default execution mode is remote or local; this server has no agents.",
                field="default_execution_mode",
            )
        changes["default_execution_mode"] = default_execution_mode
    if not changes:
        return organization
    try:
        async with in_transaction():
            if "name" in changes and await Organization.filter(name=changes["name"]).exists():
                raise _taken()
            await Organization.filter(id=organization.id).update(**changes)
    except IntegrityError as error:
        raise _taken() from error
    organization.update_from_dict(changes)
    return organization


async def delete(actor: Actor, organization: Organization) -> None:
    """Delete *organization* with all it holds, unless one of its runs is at work.

    Nobody sees it from then on, and its name is free; the rows and the states in it stay, so that a slip loses none.
    """
    await require_in_organization(actor, "organization:delete", organization.id)
    async with in_transaction():
        # Its workspaces first, as whoever moves a run locks them; once more for those made until its row was held.
        await _ask_before_delete(organization)
        living = Organization.filter(id=organization.id, deleted_at=None)
        gone = {"deleted_at": clock.now(), "former_name": organization.name, "name": names.of_deleted(organization.id)}
        if not await living.update(**gone):
            raise Conflict(f"The organization {organization.name} was deleted meanwhile.")
        await _ask_before_delete(organization)
    tokens.forget_known()
    await events.organization_deleted.announce(organization.id)


async def require_living(organization_id: str) -> None:
    """Raise NotFound if the organization was deleted; asked by whoever has just put something into it."""
    if not await Organization.filter(id=organization_id, deleted_at=None).exists():
        raise NotFound("There is no such organization any more.")


async def _ask_before_delete(organization: Organization) -> None:
    for listener in _before_delete:
        await listener(organization)


async def _enter(organization_id: str, user_id: str) -> None:
    await Membership.create(
        id=ids.new("organization_membership"),
        organization_id=organization_id,
        user_id=user_id,
        created_at=clock.now(),
    )


def _check_email(email: str | None) -> None:
    if email is not None and (len(email) > 254 or "@" not in email):
        raise Invalid("The e-mail address is not one: NAME@HOST, at most 254 characters.", field="email")


def _taken() -> Invalid:
    return Invalid("Name has already been taken.", field="name")

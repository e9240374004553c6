"""Who may do what: the tables, and the one question that is asked of them.

`require` is the first line of every action of the domain and is asked nowhere else.  What an actor may not
see does not exist (`NotFound`); what it sees and may not do is `Forbidden`, by the name of the missing
right.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Any

from app.access.actors import Actor, Kind
from app.errors import Forbidden, NotFound


class Level(IntEnum):
    """How much of a workspace an actor has; each includes those before."""

    NONE = 0
    READ = 1
    PLAN = 2
    WRITE = 3
    ADMIN = 4


#: What can be done to a workspace and what lies in it, and the least level it takes.
WORKSPACE_ACTIONS: dict[str, Level] = {
    "workspace:read": Level.READ,
    "workspace:read-settings": Level.READ,
    "workspace:lock": Level.WRITE,
    "workspace:force-unlock": Level.ADMIN,
    "workspace:update": Level.ADMIN,
    "workspace:delete": Level.ADMIN,
    "workspace:force-delete": Level.ADMIN,
    "workspace:manage-tags": Level.ADMIN,
    "configuration:read": Level.READ,
    "configuration:create": Level.PLAN,
    "run:read": Level.READ,
    "run:queue": Level.PLAN,
    "run:queue-destroy": Level.PLAN,
    "run:comment": Level.PLAN,
    "run:apply": Level.WRITE,
    "run:force-cancel": Level.ADMIN,
    "run:read-plan-json": Level.ADMIN,
    "state:read-outputs": Level.READ,
    "state:read": Level.READ,
    "state:write": Level.WRITE,
    "variable:read": Level.READ,
    "variable:write": Level.WRITE,
    "run-trigger:read": Level.READ,
    "run-trigger:manage": Level.ADMIN,
}

#: What can be done to an organization; until there are teams its members may all of it.
ORGANIZATION_ACTIONS = frozenset(
    {
        "organization:read",
        "organization:update",
        "organization:delete",
        "entitlement:read",
        "capacity:read",
        "queue:read",
        "run:list",
        "project:read",
        "project:create",
        "project:update",
        "project:delete",
        "workspace:create",
        "tag:read",
        "variable-set:read",
        "variable-set:manage",
        "module:download",
        "provider:download",
        "state:delete",
        "installation:link",
        "installation:unlink",
    }
)

#: What only those who administer the installation may do.
SITE_ACTIONS = frozenset({"organization:create", "user:create"})

#: What nobody else may even know of.
HIDDEN_SITE_ACTIONS = frozenset(
    {
        "github-app:create",
        "github-app:link",
        "github-app:read",
        "github-app:update",
        "github-delivery:read",
        "github-delivery:replay",
        "organization:limit",
        "tool-version:create",
        "tool-version:delete",
        "tool-version:read",
        "tool-version:update",
    }
)


class Reach(Enum):
    """How a thing stands to the run whose token asks."""

    OWN_WORKSPACE = "its own workspace"
    OWN_WORKSPACE_IN_APPLY = "its own workspace while it applies"
    SHARING_WORKSPACE = "a workspace of its organization that shares its state with it"
    ORGANIZATION = "its organization"


#: The whole of what a run token may; anything else is refused by name.
RUN_TOKEN_ACTIONS: dict[Reach, frozenset[str]] = {
    Reach.OWN_WORKSPACE: frozenset({"workspace:read", "workspace:lock", "state:read", "state:read-outputs"}),
    Reach.OWN_WORKSPACE_IN_APPLY: frozenset({"state:write"}),
    Reach.SHARING_WORKSPACE: frozenset({"workspace:read", "state:read", "state:read-outputs"}),
    Reach.ORGANIZATION: frozenset({"entitlement:read", "module:download", "provider:download"}),
}

#: What remains of it to a run that plans a stranger's code: nothing that writes, and no other workspace.
RESTRICTED_RUN_MAY = frozenset(
    {"workspace:read", "state:read", "state:read-outputs", "entitlement:read", "module:download", "provider:download"}
)

_RUN_TOKEN_MAY = frozenset().union(*RUN_TOKEN_ACTIONS.values())


@dataclass(frozen=True, slots=True)
class Place:
    """A workspace as far as the question needs to know it, where its row was not read."""

    id: str
    organization_id: str


def level_of(actor: Actor, organization_id: str) -> Level:
    """How much of a workspace in that organization *actor* has."""
    if actor.kind is Kind.SYSTEM or actor.owns(organization_id):
        return Level.ADMIN
    return Level.NONE


def grants(actor: Actor, organization_id: str) -> frozenset[str]:
    """Every workspace action *actor* may do there: what `permissions` blocks and buttons are made of."""
    level = level_of(actor, organization_id)
    return frozenset(action for action, least in WORKSPACE_ACTIONS.items() if level >= least)


async def require(
    actor: Actor, action: str, workspace: object, *, missing: str = "There is no such workspace, or you may not see it."
) -> None:
    """Ask whether *actor* may do *action* to *workspace* (a `Workspace`, or what lies in one: pass its workspace, and
    as *missing* the sentence that says that there is none of it, or the refusal would tell that there is one)."""
    organization_id: str = workspace.organization_id  # type: ignore[attr-defined]
    if actor.kind is Kind.RUN:
        await _require_of_run(actor, action, workspace, missing)
        return
    level = level_of(actor, organization_id)
    if level is Level.NONE:
        raise NotFound(missing)
    if level < WORKSPACE_ACTIONS[action]:
        raise Forbidden(f"This needs the permission {action} on the workspace.", permission=action)


async def require_in_organization(actor: Actor, action: str, organization_id: str) -> None:
    """Ask whether *actor* may do *action* in that organization."""
    if action not in ORGANIZATION_ACTIONS:
        raise KeyError(action)
    if actor.kind is Kind.SYSTEM or actor.owns(organization_id):
        return
    if actor.kind is Kind.RUN and actor.claims is not None:
        _refuse_by_name(action)
        if actor.claims.organization_id == organization_id and may_reach(actor, Reach.ORGANIZATION, action):
            return
    raise NotFound("There is no such organization, or you may not see it.")


async def require_on_site(actor: Actor, action: str) -> None:
    """Ask whether *actor* administers this installation."""
    if action not in SITE_ACTIONS | HIDDEN_SITE_ACTIONS:
        raise KeyError(action)
    if actor.kind is Kind.SYSTEM or actor.is_site_admin:
        return
    if actor.kind is Kind.RUN:
        _refuse_by_name(action)
    if action in HIDDEN_SITE_ACTIONS:
        raise NotFound("There is no such thing here, or you may not see it: only site admins do.")
    raise Forbidden(f"Only a site admin may do this ({action}).", permission=action)


def may_reach(actor: Actor, reach: Reach, action: str) -> bool:
    """Whether a run token may do *action* to a thing that stands to it like *reach*."""
    claims = actor.claims
    if claims is None or (claims.is_restricted and action not in RESTRICTED_RUN_MAY):
        return False
    if action in RUN_TOKEN_ACTIONS[reach]:
        return True
    return (
        reach is Reach.OWN_WORKSPACE
        and claims.is_applying
        and action in RUN_TOKEN_ACTIONS[Reach.OWN_WORKSPACE_IN_APPLY]
    )


async def _require_of_run(actor: Actor, action: str, workspace: object, missing: str) -> None:
    _refuse_by_name(action)
    reach = await _reach(actor, workspace)
    if reach is None:
        raise NotFound(missing)
    if not may_reach(actor, reach, action):
        raise Forbidden(
            f"This is a run token: {action} is not among what it may do to {reach.value}.", permission=action
        )


async def _reach(actor: Actor, workspace: Any) -> Reach | None:
    claims = actor.claims
    if claims is None or workspace.organization_id != claims.organization_id:
        return None
    if workspace.id == claims.workspace_id:
        return Reach.OWN_WORKSPACE
    if claims.is_restricted:
        return None
    named = workspace.remote_state_consumers.filter(consumer_id=claims.workspace_id)
    shares = workspace.global_remote_state or await named.exists()
    return Reach.SHARING_WORKSPACE if shares else None


def _refuse_by_name(action: str) -> None:
    if action not in _RUN_TOKEN_MAY:
        raise Forbidden(
            f"This is a run token; it may not do this ({action}). It reads and locks its own workspace, reads states"
            " its organization shares with it, and downloads modules and providers.",
            permission=action,
        )

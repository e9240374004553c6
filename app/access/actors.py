"""Who acts.

An actor is whoever a request, a command or the system itself acts as; a user is a person.  What an actor may
do is asked of `permissions`, never read off here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum


class Kind(Enum):
    USER = "user"
    RUN = "run"
    SYSTEM = "system"


@dataclass(frozen=True, slots=True)
class RunClaims:
    """What a run token stands for: one phase of one run, while its job is open."""

    run_id: str
    job_id: str
    phase: str
    workspace_id: str
    organization_id: str
    #: The run plans a stranger's code: it may read its own workspace, and no other.
    is_restricted: bool = False

    @property
    def is_applying(self) -> bool:
        return self.phase == "apply"


@dataclass(frozen=True, slots=True)
class Actor:
    """`id` is a user's id, and what rows remember as who did it; a run and the system have none."""

    kind: Kind
    name: str
    id: str | None = None
    is_site_admin: bool = False
    organization_ids: frozenset[str] = field(default=frozenset())
    claims: RunClaims | None = None
    #: The integration the client names (`X-Terraform-Integration`); `state push -force` depends on it.
    integration: str | None = None

    def owns(self, organization_id: str) -> bool:
        """Until there are teams, a member is an owner."""
        return organization_id in self.organization_ids


#: Stateroom itself: what a run does on its own, sweeps, recoveries.
SYSTEM = Actor(Kind.SYSTEM, "Stateroom")


def of_run(claims: RunClaims) -> Actor:
    return Actor(Kind.RUN, claims.run_id, claims=claims)

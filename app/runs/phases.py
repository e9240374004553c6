"""The plan and the apply of a run, as they are asked for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from tortoise.queryset import QuerySet

from app.access.actors import Actor, Kind
from app.access.permissions import require
from app.errors import NotFound
from app.runs import phase_status
from app.runs.models import Apply, Phase, Plan
from app.states.models import StateVersion
from app.storage.models import StoredObject

P = TypeVar("P", Plan, Apply)

#: The plan's documents, and the right it takes to read each.  Only the redacted one is free of sensitive values.
DOCUMENTS = {
    "json_output": "run:read-plan-json",
    "json_schema": "run:read-plan-json",
    "json_output_redacted": "run:read",
}


def visible_plans(actor: Actor) -> QuerySet[Plan]:
    return _visible(actor, Plan.all())


def visible_applies(actor: Actor) -> QuerySet[Apply]:
    return _visible(actor, Apply.all())


async def find_plan(actor: Actor, plan_id: str) -> Plan:
    """The plan, its run and workspace loaded.  Raises NotFound, Forbidden."""
    return await _find(actor, "run:read", visible_plans(actor), plan_id)


async def find_apply(actor: Actor, apply_id: str) -> Apply:
    """The apply, its run and workspace loaded.  Raises NotFound, Forbidden."""
    return await _find(actor, "run:read", visible_applies(actor), apply_id)


async def document(actor: Actor, plan_id: str, name: str) -> StoredObject | None:
    """A document of the plan, a key of `DOCUMENTS`; None while the plan has not ended.  Raises NotFound where it
    ended without one."""
    plans = visible_plans(actor).prefetch_related(name)
    plan = await _find(actor, DOCUMENTS[name], plans, plan_id)
    stored: StoredObject | None = getattr(plan, name)
    if stored is None and phase_status.is_phase_over(phase_status.plan_status(plan.run, plan)):
        raise NotFound("The plan ended without this document.")
    return stored


async def errored_state(actor: Actor, apply_id: str) -> StoredObject:
    """The state an apply left that could not become a state version.  Raises NotFound if there is none."""
    applies = visible_applies(actor).prefetch_related("errored_state")
    apply = await _find(actor, "state:read", applies, apply_id)
    if apply.errored_state is None:
        raise NotFound("The apply left no state behind: whatever it saved is a state version.")
    stored: StoredObject = apply.errored_state
    return stored


async def state_versions_of(view: Any, applies: Sequence[Apply]) -> Mapping[str, Sequence[str]]:
    """The ids of the state versions each apply made."""
    runs = {apply.run.id: apply.id for apply in applies}
    found: dict[str, list[str]] = defaultdict(list)
    versions = StateVersion.filter(run_id__in=list(runs), status="finalized", intermediate=False)
    for version in await versions.order_by("created_at", "id").only("id", "run_id"):
        found[runs[version.run_id or ""]].append(version.id)
    return found


def _visible(actor: Actor, phases: QuerySet[P]) -> QuerySet[P]:
    seen = phases.filter(run__workspace__deleted_at=None).select_related("run__workspace")
    if actor.kind is Kind.SYSTEM:
        return seen
    return seen.filter(run__organization_id__in=list(actor.organization_ids))


async def _find(actor: Actor, action: str, phases: QuerySet[P], phase_id: str) -> P:
    phase = await phases.filter(id=phase_id).first()
    if phase is None:
        raise NotFound("There is no such plan or apply, or you may not see it.")
    await require(actor, action, phase.run.workspace)
    return phase


def kind_of(phase: Phase) -> str:
    """``"plan"`` or ``"apply"``."""
    return "plan" if isinstance(phase, Plan) else "apply"

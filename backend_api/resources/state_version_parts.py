"""What a state version's document holds besides its own row: loaded once for all versions of a page."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from app import configurations, states
from app.access.permissions import Level, level_of
from app.configurations.models import IngressAttributes
from app.http import signed_urls
from app.runs.models import Run
from app.states import history
from app.states.models import StateVersion, StateVersionOutput
from backend_api import transfers
from backend_api.jsonapi import View

#: Resources of these kinds stand for nothing outside of terraform, and are not counted as being managed.
NOT_BILLABLE = ("null_resource", "terraform_data")


def uploads(kind: str) -> Any:
    def urls(view: View, things: Sequence[StateVersion]) -> Mapping[str, str]:
        """Where the bytes go; nowhere once they have come."""
        pending = [one for one in things if one.status == states.PENDING]
        return {one.id: signed_urls.sign(kind, one.id, base_url=view.base_url) for one in pending}

    return urls


def downloads(view: View, things: Sequence[StateVersion]) -> Mapping[str, str]:
    stored = [one for one in things if one.content_id is not None and one.soft_deleted_at is None]
    return {one.id: signed_urls.sign(transfers.STATE_DOWNLOAD, one.id, base_url=view.base_url) for one in stored}


def json_downloads(view: View, things: Sequence[StateVersion]) -> Mapping[str, str]:
    stored = [one for one in things if one.json_content_id is not None and one.soft_deleted_at is None]
    return {one.id: signed_urls.sign(transfers.STATE_JSON_DOWNLOAD, one.id, base_url=view.base_url) for one in stored}


async def outputs(view: View, things: Sequence[StateVersion]) -> Mapping[str, Sequence[StateVersionOutput]]:
    found: dict[str, list[StateVersionOutput]] = defaultdict(list)
    given = [one.id for one in things if one.soft_deleted_at is None]
    rows = StateVersionOutput.filter(state_version_id__in=given)
    for output in await rows.order_by("name"):
        found[output.state_version_id].append(output)
    return found


async def successors(view: View, things: Sequence[StateVersion]) -> Mapping[str, str]:
    """The version that became current after each."""
    after = StateVersion.filter(previous_id__in=[one.id for one in things]).only("id", "previous_id")
    return {str(one.previous_id): one.id for one in await after}


async def creators(view: View, things: Sequence[StateVersion]) -> Mapping[str, str | None]:
    """The person behind each: who pushed it, or whose run wrote it."""
    runs = Run.filter(id__in=list({one.run_id for one in things if one.run_id is not None}))
    by_run = dict(await runs.values_list("id", "created_by_id"))
    return {one.id: one.created_by_id if one.run_id is None else by_run.get(one.run_id) for one in things}


async def permissions(view: View, things: Sequence[StateVersion]) -> Mapping[str, Any]:
    """Whether the caller owns what the version belongs to, and there is something to restore."""
    owned = set(await _owned(view, things))
    return {
        one.id: {"can_restore_backing_data": one.condition == "backing_data_soft_deleted" and one.id in owned}
        for one in things
    }


async def _owned(view: View, things: Sequence[StateVersion]) -> list[str]:
    rows = StateVersion.filter(id__in=[one.id for one in things if one.soft_deleted_at is not None])
    found = await rows.values_list("id", "workspace__organization_id")
    return [id for id, organization in found if level_of(view.actor, organization) is Level.ADMIN]


def billable(version: StateVersion) -> int | None:
    """How many resources it manages, without those that stand for nothing."""
    managed = history.managed(version)
    if managed is None:
        return None
    tallies: Any = version.modules or {}
    return managed - sum(of.get(kind, 0) for of in tallies.values() for kind in NOT_BILLABLE)


async def commits(view: View, things: Sequence[StateVersion]) -> Mapping[str, IngressAttributes]:
    """The commit behind each that a run of one wrote."""
    runs = Run.filter(
        id__in=list({one.run_id for one in things if one.run_id is not None}),
        configuration_version__source=configurations.SOURCE,
    )
    versions: dict[str, str] = dict(await runs.values_list("id", "configuration_version_id"))
    found = await configurations.ingress_of(list(versions.values())) if versions else {}
    by_run = {run_id: found[version_id] for run_id, version_id in versions.items() if version_id in found}
    return {one.id: by_run[one.run_id] for one in things if one.run_id in by_run}

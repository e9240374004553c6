"""Plans and applies: the two phases of a run, each with a log."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from app.http import signed_urls
from app.http.routing import Route
from app.runs import phase_status, phases
from app.runs.models import Apply, Phase, Plan
from backend_api import transfers
from backend_api.authentication import actor_of
from backend_api.jsonapi import Attribute, Resource, ToMany, View


def _log_urls(view: View, things: Sequence[Phase]) -> Mapping[str, str]:
    """There from the start, before there is anything to read."""
    return {one.id: signed_urls.sign(transfers.LOG, one.id, base_url=view.base_url) for one in things}


def _execution_details(phase: Any) -> dict[str, str | None]:
    return {"mode": "remote", "worker_name": phase.worker_name}


class PlanResource(Resource):
    type = "plans"
    path = "/api/v2/plans/{id}"

    status = Attribute(lambda plan: phase_status.plan_status(plan.run, plan), type=str)
    status_timestamps = Attribute(lambda plan: phase_status.phase_timestamps(plan.run, "plan"))
    has_changes = Attribute(lambda plan: plan.run.has_changes, type=bool)
    generated_configuration = Attribute(lambda plan: plan.run.generated_configuration, type=bool)
    resource_additions = Attribute(type=int | None)
    resource_changes = Attribute(type=int | None)
    resource_destructions = Attribute(type=int | None)
    resource_imports = Attribute(type=int | None)
    log_read_url = Attribute(loader=_log_urls)
    execution_details = Attribute(_execution_details, dashed_keys=True)
    structured_run_output_enabled = Attribute(lambda plan: False, type=bool)
    masked_count = Attribute(type=int, doc="how often a sensitive value was masked in the log; an attribute of ours")
    actions = Attribute(lambda plan: {"is_exportable": False}, dashed_keys=True)
    permissions = Attribute(lambda plan: {"can_export": False}, dashed_keys=True)

    exports = ToMany("plan-exports", lambda plan: ())
    state_versions = ToMany("state-versions", lambda plan: ())

    @classmethod
    async def load(cls, view: View, ids: Sequence[str]) -> Iterable[Plan]:
        return await phases.visible_plans(view.actor).filter(id__in=list(ids))

    @classmethod
    def links(cls, view: View, thing: Any) -> Mapping[str, str | None]:
        path = f"/api/v2/plans/{thing.id}"
        return {
            "self": path,
            "json-output": f"{path}/json-output",
            "json-output-redacted": f"{path}/json-output-redacted",
            "json-schema": f"{path}/json-schema",
        }


class ApplyResource(Resource):
    type = "applies"
    path = "/api/v2/applies/{id}"

    status = Attribute(lambda apply: phase_status.apply_status(apply.run, apply), type=str)
    status_timestamps = Attribute(lambda apply: phase_status.phase_timestamps(apply.run, "apply"))
    resource_additions = Attribute(type=int | None)
    resource_changes = Attribute(type=int | None)
    resource_destructions = Attribute(type=int | None)
    resource_imports = Attribute(type=int | None)
    log_read_url = Attribute(loader=_log_urls)
    execution_details = Attribute(_execution_details, dashed_keys=True)
    masked_count = Attribute(type=int, doc="how often a sensitive value was masked in the log; an attribute of ours")

    state_versions = ToMany("state-versions", loader=phases.state_versions_of, related="/api/v2/applies/{id}")

    @classmethod
    async def load(cls, view: View, ids: Sequence[str]) -> Iterable[Apply]:
        return await phases.visible_applies(view.actor).filter(id__in=list(ids))


async def show_plan(request: Request) -> Response:
    """GET /plans/{id}"""
    return await PlanResource.one(request, await phases.find_plan(actor_of(request), request.path_params["id"]))


async def show_apply(request: Request) -> Response:
    """GET /applies/{id}"""
    return await ApplyResource.one(request, await phases.find_apply(actor_of(request), request.path_params["id"]))


async def json_output(request: Request) -> Response:
    """GET /plans/{id}/json-output"""
    return await _document(request, "json_output")


async def json_output_redacted(request: Request) -> Response:
    """GET /plans/{id}/json-output-redacted"""
    return await _document(request, "json_output_redacted")


async def json_schema(request: Request) -> Response:
    """GET /plans/{id}/json-schema"""
    return await _document(request, "json_schema")


async def errored_state(request: Request) -> Response:
    """GET /applies/{id}/errored-state"""
    stored = await phases.errored_state(actor_of(request), request.path_params["id"])
    return await transfers.streamed(stored, filename="errored.tfstate")


async def _document(request: Request, name: str) -> Response:
    """The document itself, or 204 while the plan has not finished."""
    stored = await phases.document(actor_of(request), request.path_params["id"], name)
    if stored is None:
        return Response(status_code=204)
    return await transfers.streamed(stored, media_type="application/json")


routes = [
    Route("/plans/{id}", show_plan),
    Route("/plans/{id}/json-output", json_output),
    Route("/plans/{id}/json-output-redacted", json_output_redacted),
    Route("/plans/{id}/json-schema", json_schema),
    Route("/applies/{id}", show_apply),
    Route("/applies/{id}/errored-state", errored_state),
]

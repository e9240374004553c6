"""Runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from app import configurations, ids, runs, workspaces
from app.access.permissions import grants
from app.errors import Invalid
from app.http.routing import Route
from app.runs import lifecycle, lists, outdated, snapshot, waiting
from app.runs.models import Run
from app.runs.outdated import Outdated
from app.runs.waiting import Waiting
from backend_api import finding
from backend_api.authentication import actor_of, client_version
from backend_api.jsonapi import Attribute, Incoming, Resource, ToMany, ToOne, View, page_of, read_action
from backend_api.resources.workspaces import WorkspaceResource

#: What the API calls a permission on a run, and the action it stands for.
PERMISSIONS = {
    "can_apply": "run:apply",
    "can_cancel": "run:apply",
    "can_comment": "run:comment",
    "can_discard": "run:apply",
    "can_force_execute": "run:apply",
    "can_force_cancel": "run:force-cancel",
}


class RunVariable(msgspec.Struct):
    """A variable of the run: its value is a literal of Terraform's language."""

    key: str
    value: str


class WorkspaceOfRunResource(WorkspaceResource, variant=True):
    """A workspace as a run includes it: its output is the text its log holds, whatever the workspace prefers."""

    structured_run_output_enabled = Attribute(lambda workspace: False, type=bool)


def _permissions(view: View, things: Sequence[Run]) -> Mapping[str, Any]:
    return {run.id: _permissions_on(view.actor, run) for run in things}


def _permissions_on(actor: Any, run: Run) -> dict[str, bool]:
    granted = grants(actor, run.organization_id)
    may = {name: action in granted for name, action in PERMISSIONS.items()}
    may["can_cancel"] |= run.plan_only and run.created_by_id is not None and run.created_by_id == actor.id
    return may | {"can_override_policy_check": False}


async def _variables(view: View, things: Sequence[Run]) -> Mapping[str, Any]:
    given = [run for run in things if run.has_variables]
    return {
        run.id: [
            {"key": value.key, "value": value.value.reveal()}
            for value in await snapshot.read(run)
            if value.source == "run"
        ]
        for run in given
    }


async def _waiting_for(view: View, things: Sequence[Run]) -> Mapping[str, Any]:
    """Nothing is asked for runs that work or have ended."""
    return await waiting.reasons_of(things)


def _told(reason: Waiting | None) -> dict[str, Any] | None:
    if reason is None:
        return None
    sentence = f"{reason.sentence}."
    return {"reason": reason.reason, "sentence": sentence, "ahead": reason.ahead, "since": reason.since}


async def _outdated(view: View, things: Sequence[Run]) -> Mapping[str, Any]:
    return await outdated.of(things)


def _why_outdated(found: Outdated | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {"causes": list(found.causes), "sentence": found.sentence, "remedy": found.remedy}


async def _source_names(view: View, things: Sequence[Run]) -> Mapping[str, Any]:
    wanted = {run.triggering_source_id for run in things if run.triggering_source_id is not None}
    if not wanted:
        return {}
    found = workspaces.visible(view.actor).filter(id__in=list(wanted))
    names: dict[Any, str] = {workspace.id: workspace.name for workspace in await found}
    return {run.id: names.get(run.triggering_source_id) for run in things}


class RunResource(Resource):
    type = "runs"
    path = "/api/v2/runs/{id}"

    status = Attribute(type=str)
    status_timestamps = Attribute()
    actions = Attribute(lifecycle.offers, doc="what the status allows")
    permissions = Attribute(loader=_permissions, dashed_keys=True, doc="what the caller may do")
    message = Attribute(type=str | None, writable=True)
    source = Attribute(type=str)
    trigger_reason = Attribute(type=str)
    triggering_source_name = Attribute(loader=_source_names, type=str | None)
    terraform_version = Attribute(type=str | None, writable=True, doc="may be sent with `plan-only` alone")
    engine = Attribute(type=str, doc="`terraform` or `opentofu`; an attribute of ours")
    has_changes = Attribute(type=bool)
    plan_only = Attribute(type=bool | None, writable=True)
    save_plan = Attribute(type=bool | None, writable=True)
    auto_apply = Attribute(type=bool | None, writable=True)
    is_destroy = Attribute(type=bool | None, writable=True)
    refresh = Attribute(type=bool | None, writable=True)
    refresh_only = Attribute(type=bool | None, writable=True)
    allow_empty_apply = Attribute(type=bool | None, writable=True)
    allow_config_generation = Attribute(type=bool | None, writable=True)
    debugging_mode = Attribute(type=bool | None, writable=True)
    target_addrs = Attribute(type=list[str] | None, writable=True)
    replace_addrs = Attribute(type=list[str] | None, writable=True)
    invoke_action_addrs = Attribute(lambda run: None, type=list[str] | None, writable=True, doc="not supported yet")
    policy_paths = Attribute(lambda run: None, type=list[str] | None, writable=True, doc="not supported yet")
    variables = Attribute(lambda found: found or [], loader=_variables, type=list[RunVariable] | None, writable=True)
    failure = Attribute(type=str | None, doc="why it ended errored; an attribute of ours")
    waiting_for = Attribute(
        _told,
        loader=_waiting_for,
        doc="why it does not go on (`reason`, `sentence`, `ahead`, `since`), null if it does; an attribute of ours",
    )
    outdated = Attribute(
        _why_outdated,
        loader=_outdated,
        doc="why the plan of a plan-only run no longer says what would happen (`causes`: `state`, `base`; `sentence`,"
        " `remedy`), null while it does; an attribute of ours",
    )
    created_at = Attribute()
    canceled_at = Attribute(lambda run: run.cancel_requested_at)
    force_cancel_available_at = Attribute()
    updated_at = Attribute(lambda run: max(run.status_timestamps.values(), default=run.created_at))

    workspace = ToOne("workspaces", writable=True, resource=lambda: WorkspaceOfRunResource)
    plan = ToOne("plans", lambda run: ids.plan_id(run.id))
    apply = ToOne("applies", lambda run: ids.apply_id(run.id))
    configuration_version = ToOne("configuration-versions", writable=True)
    input_state_version = ToOne("state-versions")
    triggering_source = ToOne("workspaces")
    triggering_run = ToOne("runs")
    created_by = ToOne("users")
    confirmed_by = ToOne("users")
    canceled_by = ToOne("users")
    # Present and empty: clients wait for whatever is named here.
    cost_estimate = ToOne("cost-estimates", lambda run: None)
    policy_checks = ToMany("policy-checks", lambda run: ())
    task_stages = ToMany("task-stages", lambda run: ())
    tf_policy_evaluations = ToMany("tf-policy-evaluations", lambda run: ())
    run_events = ToMany("run-events", related="/api/v2/runs/{id}/run-events")
    comments = ToMany("comments", related="/api/v2/runs/{id}/comments")

    @classmethod
    async def load(cls, view: View, ids: Sequence[str]) -> Iterable[Run]:
        return await runs.visible(view.actor).filter(id__in=list(ids))


class QueuedRunResource(RunResource, variant=True):
    """A run in its organization's queue, which says where it stands there."""

    position_in_queue = Attribute(type=int)


async def index(request: Request) -> Response:
    """GET /workspaces/{id}/runs: newest first"""
    workspace = await finding.workspace(request)
    return await RunResource.page(request, await lists.of_workspace(actor_of(request), workspace, _wanted(request)))


async def index_of_organization(request: Request) -> Response:
    """GET /organizations/{organization}/runs: newest first; without `filter[timeframe]` of the last 12 months"""
    organization = await finding.organization(request)
    wanted = replace(_wanted(request), workspace_names=_words(request.query_params.get("filter[workspace_names]")))
    page = page_of(request)
    found = await lists.of_organization(actor_of(request), organization, wanted)
    things = await found.offset(page.offset).limit(page.size + 1)
    return await RunResource.listed_uncounted(request, things[: page.size], page, more=len(things) > page.size)


def _wanted(request: Request) -> lists.Wanted:
    query = request.query_params
    return lists.Wanted(
        operations=_words(query.get("filter[operation]")),
        statuses=_words(query.get("filter[status]")),
        status_group=query.get("filter[status_group]") or None,
        sources=_words(query.get("filter[source]")),
        agent_pool_names=_words(query.get("filter[agent_pool_names]")),
        timeframe=query.get("filter[timeframe]") or None,
        user=query.get("search[user]") or None,
        commit=query.get("search[commit]") or None,
        text=query.get("search[basic]") or None,
    )


async def show(request: Request) -> Response:
    """GET /runs/{id}"""
    return await RunResource.one(request, await runs.show(actor_of(request), request.path_params["id"]))


async def create(request: Request) -> Response:
    """POST /runs"""
    sent = await RunResource.read(request, required=["workspace"])
    actor = actor_of(request)
    workspace = await workspaces.find(actor, sent.id_of("workspace"))
    version = None
    if sent.relations.get("configuration_version") is not None:
        version = await configurations.find(actor, sent.id_of("configuration_version"))
    run = await runs.create(actor, workspace, version, _options(sent, from_cli=client_version(request) is not None))
    return await RunResource.one(request, run, 201)


async def apply(request: Request) -> Response:
    """POST /runs/{id}/actions/apply"""
    run = await _run(request)
    await runs.confirm(actor_of(request), run, await _comment(request))
    return Response(status_code=202)


async def discard(request: Request) -> Response:
    """POST /runs/{id}/actions/discard"""
    run = await _run(request)
    await runs.discard(actor_of(request), run, await _comment(request))
    return Response(status_code=202)


async def cancel(request: Request) -> Response:
    """POST /runs/{id}/actions/cancel"""
    run = await _run(request)
    await runs.cancel(actor_of(request), run, await _comment(request))
    return Response(status_code=202)


async def force_cancel(request: Request) -> Response:
    """POST /runs/{id}/actions/force-cancel"""
    run = await _run(request)
    await runs.force_cancel(actor_of(request), run, await _comment(request))
    return Response(status_code=202)


async def force_execute(request: Request) -> Response:
    """POST /runs/{id}/actions/force-execute"""
    run = await _run(request)
    await runs.force_execute(actor_of(request), run, await _comment(request))
    return Response(status_code=202)


async def queue(request: Request) -> Response:
    """GET /organizations/{organization}/runs/queue"""
    organization = await finding.organization(request)
    page = page_of(request)
    placed, total = await lists.queue_of(actor_of(request), organization, page.offset, page.size)
    for run, position in placed:
        run.position_in_queue = position
    return await QueuedRunResource.listed(request, [run for run, _ in placed], page, total)


async def _run(request: Request) -> Run:
    return await runs.find(actor_of(request), request.path_params["id"])


async def _comment(request: Request) -> str | None:
    comment: str | None = (await read_action(request, comment=str | None)).get("comment")
    return comment


#: What a run would have to heed and does not yet, and what terraform calls it.  Ignoring it would plan something else.
_NOT_YET = {
    "invoke_action_addrs": "Invoking an action (invoke-action-addrs)",
    "policy_paths": "A policy of your own (policy-paths)",
}


def _options(sent: Incoming, *, from_cli: bool) -> runs.RunOptions:
    """What the request says; an attribute sent as null says nothing."""
    given = {name: value for name, value in sent.attributes.items() if value is not None}
    for name, option in _NOT_YET.items():
        if given.pop(name, None):
            raise Invalid(f"{option} is not supported yet; start the run without it.", field=name)
    given["variables"] = [runs.run_variable(one.key, one.value) for one in given.get("variables", [])]
    if from_cli:
        given.setdefault("message", "Triggered via CLI")
    return runs.RunOptions(**given, source="tfe-api")


def _words(text: str | None) -> list[str]:
    return [word for word in (text or "").split(",") if word]


routes = [
    Route("/runs", create, methods=["POST"]),
    Route("/runs/{id}", show),
    Route("/workspaces/{id}/runs", index),
    Route("/organizations/{organization}/runs", index_of_organization),
    Route("/organizations/{organization}/runs/queue", queue),
    Route("/runs/{id}/actions/apply", apply, methods=["POST"]),
    Route("/runs/{id}/actions/discard", discard, methods=["POST"]),
    Route("/runs/{id}/actions/cancel", cancel, methods=["POST"]),
    Route("/runs/{id}/actions/force-cancel", force_cancel, methods=["POST"]),
    Route("/runs/{id}/actions/force-execute", force_execute, methods=["POST"]),
]

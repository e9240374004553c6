"""State versions and their outputs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from app import states
from app.access.actors import Actor
from app.errors import Invalid
from app.http.routing import Endpoint, Route
from app.states import outputs
from app.states.models import StateVersion, StateVersionOutput
from backend_api import finding, transfers
from backend_api.authentication import actor_of
from backend_api.jsonapi import Attribute, Ref, Resource, ToMany, ToOne, View
from backend_api.resources import state_version_parts as parts

#: How often a terraform that runs on somebody's own machine is asked to save its state meanwhile: the least it honours.
SNAPSHOT_SECONDS = 20
_SNAPSHOTS = {"x-terraform-snapshot-interval": str(SNAPSHOT_SECONDS)}


class StateVersionResource(Resource):
    type = "state-versions"
    path = "/api/v2/state-versions/{id}"

    serial = Attribute(type=int, writable=True)
    lineage = Attribute(type=str | None, writable=True)
    md5 = Attribute(type=str, writable=True)
    state = Attribute(type=str | None, writable=True, readable=False, doc="base64, where no upload follows")
    json_state = Attribute(type=str | None, writable=True, readable=False, doc="base64")
    json_state_outputs = Attribute(
        type=str | None, writable=True, readable=False, doc="base64; not needed: outputs are read from the state"
    )
    force = Attribute(type=bool | None, writable=True, readable=False)
    intermediate = Attribute(type=bool | None, writable=True)
    status = Attribute(
        lambda version: version.condition,
        type=str,
        doc="`pending`, `finalized`, `discarded`, `backing_data_soft_deleted`, `backing_data_permanently_deleted`",
    )
    size = Attribute(type=int)
    terraform_version = Attribute(type=str | None)
    state_version = Attribute(lambda version: version.state_format, type=int | None)
    resources_processed = Attribute(type=bool)
    resources_ = Attribute(lambda version: version.resources, name="resources")
    modules = Attribute()
    providers = Attribute()
    vcs_commit_sha = Attribute(lambda commit: commit and commit.commit_sha, loader=parts.commits, type=str | None)
    vcs_commit_url = Attribute(lambda commit: commit and commit.commit_url, loader=parts.commits, type=str | None)
    created_at = Attribute()
    chain_hash = Attribute(type=str | None, doc="over this state and all before it; an attribute of ours")
    billable_rum_count = Attribute(parts.billable, type=int | None)
    permissions = Attribute(loader=parts.permissions, dashed_keys=True)
    hosted_state_download_url = Attribute(loader=parts.downloads)
    hosted_json_state_download_url = Attribute(loader=parts.json_downloads)
    hosted_state_upload_url = Attribute(loader=parts.uploads(transfers.STATE_UPLOAD))
    hosted_json_state_upload_url = Attribute(loader=parts.uploads(transfers.STATE_JSON_UPLOAD))
    encrypted_state_download_url = Attribute(lambda version: None)
    sanitized_state_download_url = Attribute(lambda version: None)
    sanitized_state_upload_url = Attribute(lambda version: None)

    workspace = ToOne("workspaces")
    run = ToOne("runs", writable=True)
    created_by = ToOne("users", loader=parts.creators)
    previous_state_version = ToOne("state-versions", lambda version: version.previous_id)
    next_state_version = ToOne("state-versions", loader=parts.successors)
    rollback_state_version = ToOne("state-versions", lambda version: version.rollback_of_id, writable=True)
    outputs = ToMany("state-version-outputs", loader=parts.outputs)

    @classmethod
    async def load(cls, view: View, ids: Sequence[str]) -> Iterable[StateVersion]:
        return await states.visible(view.actor).filter(id__in=list(ids))


def _shown_value(output: StateVersionOutput) -> Any:
    return None if output.sensitive else outputs.value(output)


class StateVersionOutputResource(Resource):
    type = "state-version-outputs"
    path = "/api/v2/state-version-outputs/{id}"

    name = Attribute(type=str)
    sensitive = Attribute(type=bool)
    kind = Attribute(lambda output: output.type, type=str, name="type")
    detailed_type = Attribute(outputs.detailed_type)
    value = Attribute(_shown_value, doc="null in a list if it is sensitive")

    @classmethod
    async def load(cls, view: View, ids: Sequence[str]) -> Iterable[StateVersionOutput]:
        return await outputs.visible(view.actor).filter(id__in=list(ids))


class OneOutputResource(StateVersionOutputResource, variant=True):
    """An output asked for by itself: its value is told, sensitive or not."""

    value = Attribute(outputs.value)


async def current(request: Request) -> Response:
    """GET /workspaces/{id}/current-state-version"""
    workspace = await finding.workspace(request)
    response = await StateVersionResource.one(request, await states.current(actor_of(request), workspace))
    response.headers.update(_SNAPSHOTS)
    return response


async def show(request: Request) -> Response:
    """GET /state-versions/{id}"""
    version = await states.find(actor_of(request), request.path_params["id"])
    return await StateVersionResource.one(request, version)


async def index(request: Request) -> Response:
    """GET /state-versions?filter[workspace][name]=…&filter[organization][name]=…: newest first"""
    workspace = await finding.workspace_asked(request)
    if workspace is None:
        raise Invalid(
            f"State versions are listed of one workspace: give {' and '.join(finding.NAMED)}.",
            parameter=finding.NAMED[0],
        )
    status = request.query_params.get("filter[status]") or None
    found = await states.of(actor_of(request), workspace, status=status)
    return await StateVersionResource.page(request, found)


async def create(request: Request) -> Response:
    """POST /workspaces/{id}/state-versions"""
    workspace = await finding.workspace(request)
    sent = await StateVersionResource.read(request, required=["serial", "md5"])
    given = {name: value for name, value in sent.attributes.items() if value is not None}
    version = await states.create(actor_of(request), workspace, states.NewState(**given))
    response = await StateVersionResource.one(request, version, 201)
    response.headers.update(_SNAPSHOTS)
    return response


async def rollback(request: Request) -> Response:
    """PATCH /workspaces/{id}/state-versions: an older state again, as a new version"""
    workspace = await finding.workspace(request)
    sent = await StateVersionResource.read(request, required=["rollback_state_version"])
    target = sent.relations["rollback_state_version"]
    if not isinstance(target, Ref) or target.id is None:
        raise Invalid("Name the state version to go back to.", field="/data/relationships/rollback-state-version/data")
    version = await states.rollback(actor_of(request), workspace, target.id)
    return await StateVersionResource.one(request, version, 201)


def _content_action(act: Callable[[Actor, StateVersion], Awaitable[StateVersion]], name: str) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        version = await states.find(actor_of(request), request.path_params["id"])
        return await StateVersionResource.one(request, await act(actor_of(request), version))

    endpoint.__name__, endpoint.__doc__ = name, f"POST /state-versions/{{id}}/actions/{name}"
    return endpoint


CONTENT_ACTIONS = {
    "soft_delete_backing_data": states.soft_delete,
    "restore_backing_data": states.restore,
    "permanently_delete_backing_data": states.permanently_delete,
}


async def current_outputs(request: Request) -> Response:
    """GET /workspaces/{id}/current-state-version-outputs: all of them"""
    workspace = await finding.workspace(request)
    return await StateVersionOutputResource.all(request, await outputs.current(actor_of(request), workspace))


async def version_outputs(request: Request) -> Response:
    """GET /state-versions/{id}/outputs"""
    found = await outputs.of_version(actor_of(request), request.path_params["id"])
    return await StateVersionOutputResource.page(request, found)


async def output(request: Request) -> Response:
    """GET /state-version-outputs/{id}"""
    found = await outputs.find(actor_of(request), request.path_params["id"])
    return await OneOutputResource.one(request, found)


routes = [
    Route("/workspaces/{id}/current-state-version", current),
    Route("/workspaces/{id}/current-state-version-outputs", current_outputs),
    Route("/workspaces/{id}/state-versions", create, methods=["POST"], body="inline_state"),
    Route("/workspaces/{id}/state-versions", rollback, methods=["PATCH"]),
    *(
        Route(f"/state-versions/{{id}}/actions/{name}", _content_action(act, name), methods=["POST"])
        for name, act in CONTENT_ACTIONS.items()
    ),
    Route("/state-versions", index),
    Route("/state-versions/{id}", show),
    Route("/state-versions/{id}/outputs", version_outputs),
    Route("/state-version-outputs/{id}", output),
]

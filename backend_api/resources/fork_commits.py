"""Commits of strangers' forks that wait for an approval."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from app.http.routing import Route
from app.vcs import fork_commits
from app.vcs.models import ForkCommit
from backend_api import finding
from backend_api.authentication import actor_of
from backend_api.jsonapi import Attribute, Resource, ToOne


class ForkCommitResource(Resource):
    type = "fork-commits"
    path = "/api/v2/fork-commits/{id}"

    status = Attribute(lambda one: one.state, type=str, doc="`waiting`, `approved` or `gone`")
    sha = Attribute(type=str)
    pull_request_number = Attribute(type=int)
    pull_request_url = Attribute(lambda one: one.pull_request_url, type=str)
    title = Attribute(type=str, doc="of the pull request")
    author_login = Attribute(type=str, doc="empty once the account is gone")
    fork = Attribute(lambda one: one.fork_name, type=str, doc="its owner and name; empty once it is gone")
    repository = Attribute(lambda one: one.repository.full_name, type=str)
    created_at = Attribute(doc="since when it waits")
    decided_at = Attribute(doc="when it was approved, or gone")

    workspace = ToOne("workspaces")
    approved_by = ToOne("users")


async def index(request: Request) -> Response:
    """GET /workspaces/{id}/fork-commits: what waits for an approval, the newest first"""
    workspace = await finding.workspace(request)
    return await ForkCommitResource.page(request, await fork_commits.waiting(actor_of(request), workspace))


async def show(request: Request) -> Response:
    """GET /fork-commits/{id}"""
    return await ForkCommitResource.one(request, await _find(request))


async def approve(request: Request) -> Response:
    """POST /fork-commits/{id}/actions/approve: let it be planned in its workspace"""
    commit = await fork_commits.approve(actor_of(request), await _find(request))
    return await ForkCommitResource.one(request, commit)


async def _find(request: Request) -> ForkCommit:
    return await fork_commits.find(actor_of(request), request.path_params["id"])


routes = [
    Route("/workspaces/{id}/fork-commits", index),
    Route("/fork-commits/{id}", show),
    Route("/fork-commits/{id}/actions/approve", approve, methods=["POST"]),
]

"""What happened to a run, and what people wrote on it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from app import runs
from app.http.routing import Route
from app.runs import timeline
from app.runs.models import Comment, RunEvent
from backend_api.authentication import actor_of
from backend_api.jsonapi import Attribute, Resource, ToOne, View


class RunEventResource(Resource):
    type = "run-events"

    action = Attribute(type=str)
    description = Attribute(type=str)
    created_at = Attribute()

    actor = ToOne("users", lambda event: event.actor_id)
    comment = ToOne("comments")

    @classmethod
    async def load(cls, view: View, ids: Sequence[str]) -> Iterable[RunEvent]:
        return await timeline.visible_events(view.actor).filter(id__in=list(ids))


async def _events(view: View, things: Sequence[Comment]) -> Mapping[str, Any]:
    found = await RunEvent.filter(comment_id__in=[comment.id for comment in things])
    return {str(event.comment_id): event.id for event in found}


class CommentResource(Resource):
    type = "comments"

    body = Attribute(type=str, writable=True)
    created_at = Attribute()

    run_event = ToOne("run-events", loader=_events)
    created_by = ToOne("users")

    @classmethod
    async def load(cls, view: View, ids: Sequence[str]) -> Iterable[Comment]:
        return await timeline.visible_comments(view.actor).filter(id__in=list(ids))


async def events(request: Request) -> Response:
    """GET /runs/{id}/run-events: all of them, oldest first"""
    run = await runs.find(actor_of(request), request.path_params["id"])
    return await RunEventResource.all(request, await timeline.events_of(run))


async def event(request: Request) -> Response:
    """GET /run-events/{id}"""
    found = await timeline.find_event(actor_of(request), request.path_params["id"])
    return await RunEventResource.one(request, found)


async def comments(request: Request) -> Response:
    """GET /runs/{id}/comments"""
    run = await runs.find(actor_of(request), request.path_params["id"])
    return await CommentResource.all(request, await timeline.comments_of(run))


async def create_comment(request: Request) -> Response:
    """POST /runs/{id}/comments"""
    run = await runs.find(actor_of(request), request.path_params["id"])
    sent = await CommentResource.read(request, required=["body"])
    comment = await runs.comment(actor_of(request), run, sent.attributes["body"])
    return await CommentResource.one(request, comment, 201)


async def comment(request: Request) -> Response:
    """GET /comments/{id}"""
    found = await timeline.find_comment(actor_of(request), request.path_params["id"])
    return await CommentResource.one(request, found)


routes = [
    Route("/runs/{id}/run-events", events),
    Route("/run-events/{id}", event),
    Route("/runs/{id}/comments", comments),
    Route("/runs/{id}/comments", create_comment, methods=["POST"]),
    Route("/comments/{id}", comment),
]

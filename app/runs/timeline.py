"""What happened to a run, in order: its moves, its comments, who did what."""

from __future__ import annotations

from typing import TypeVar

from tortoise.queryset import QuerySet

from app.access.actors import Actor, Kind
from app.access.permissions import require
from app.errors import NotFound
from app.runs.models import Comment, Run, RunEvent

T = TypeVar("T", RunEvent, Comment)


async def events_of(run: Run) -> list[RunEvent]:
    """Every event of a run that was found, oldest first."""
    return await RunEvent.filter(run_id=run.id).order_by("number")


async def comments_of(run: Run) -> list[Comment]:
    return await Comment.filter(run_id=run.id).order_by("created_at", "id")


def visible_events(actor: Actor) -> QuerySet[RunEvent]:
    return _visible(actor, RunEvent.all())


def visible_comments(actor: Actor) -> QuerySet[Comment]:
    return _visible(actor, Comment.all())


async def find_event(actor: Actor, event_id: str) -> RunEvent:
    return await _find(actor, visible_events(actor), event_id)


async def find_comment(actor: Actor, comment_id: str) -> Comment:
    return await _find(actor, visible_comments(actor), comment_id)


def _visible(actor: Actor, rows: QuerySet[T]) -> QuerySet[T]:
    seen = rows.filter(run__workspace__deleted_at=None)
    if actor.kind is Kind.SYSTEM:
        return seen
    return seen.filter(run__organization_id__in=list(actor.organization_ids))


async def _find(actor: Actor, rows: QuerySet[T], row_id: str) -> T:
    row = await rows.filter(id=row_id).select_related("run__workspace").first()
    if row is None:
        raise NotFound("There is no such thing, or you may not see it.")
    await require(actor, "run:read", row.run.workspace)
    return row

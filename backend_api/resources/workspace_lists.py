"""Which workspaces a list was asked for, and in which order."""

from __future__ import annotations

import re
from collections.abc import Mapping

from starlette.requests import Request
from tortoise.expressions import Q, RawSQL, Subquery
from tortoise.queryset import QuerySet

from app.errors import Invalid
from app.runs.models import Run
from app.workspaces.models import TagBinding, Workspace
from backend_api.ordering import order

MOST_TAGS = 50
_TAGGED = re.compile(r"filter\[tagged\]\[([^\]]{1,20})\]\[(key|value)\]")

ORDERS = {
    "name": ["name"],
    "latest-change-at": ["latest_change_at"],
    "current-run.created-at": ["runs_last", "run_created_at"],
}


def wanted(request: Request, query: QuerySet[Workspace]) -> QuerySet[Workspace]:
    """Those of *query* that fit every filter of the request.  What is no filter of ours is passed over: terraform
    sends some that nobody knows."""
    given = request.query_params
    query = _by_name(given, query)
    query = _by_tags(given, query)
    if project_id := given.get("filter[project][id]"):
        query = query.filter(project_id__in=_words(project_id))
    if statuses := given.get("filter[current-run][status]"):
        runs = Run.filter(status__in=_words(statuses)).values("id")
        query = query.filter(current_run_id__in=Subquery(runs))
    return _ordered(request, query)


def _by_name(given: Mapping[str, str], query: QuerySet[Workspace]) -> QuerySet[Workspace]:
    if text := given.get("search[name]"):
        query = query.filter(name__icontains=text)
    if text := given.get("search[wildcard-name]"):
        query = query.filter(_wildcard(text))
    return query


def _wildcard(text: str) -> Q:
    """``*`` at either end stands for anything."""
    bare = text.strip("*")
    match (text.startswith("*"), text.endswith("*")):
        case (True, True):
            return Q(name__icontains=bare)
        case (True, False):
            return Q(name__iendswith=bare)
        case (False, True):
            return Q(name__istartswith=bare)
        case _:
            return Q(name__iexact=bare)


def _by_tags(given: Mapping[str, str], query: QuerySet[Workspace]) -> QuerySet[Workspace]:
    keys, excluded = _words(given.get("search[tags]", "")), _words(given.get("search[exclude-tags]", ""))
    bindings = _tagged(given)
    if len(keys) + len(bindings) > MOST_TAGS:
        raise Invalid(f"At most {MOST_TAGS} tags can be searched for at a time.", parameter="search[tags]")
    for key in keys:
        query = query.filter(id__in=_with(key=key))
    for condition in bindings:
        query = query.filter(id__in=_with(**condition))
    if excluded:
        query = query.exclude(id__in=_with(key__in=excluded))
    return query


def _tagged(given: Mapping[str, str]) -> list[dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for name, value in given.items():
        if match := _TAGGED.fullmatch(name):
            found.setdefault(match[1], {})[match[2]] = value
    return [{part: text for part, text in one.items() if text} for one in found.values() if one.get("key")]


def _with(**tag: object) -> Subquery:
    return Subquery(TagBinding.filter(**tag).values("workspace_id"))


def _ordered(request: Request, query: QuerySet[Workspace]) -> QuerySet[Workspace]:
    columns = order(request, ORDERS, "name")
    if any("run_created_at" in column for column in columns):
        # The current run is a plain column, since runs point back here.
        query = query.annotate(
            runs_last=RawSQL('CASE WHEN "workspaces"."current_run_id" IS NULL THEN 1 ELSE 0 END'),
            run_created_at=RawSQL('(SELECT r."created_at" FROM "runs" r WHERE r."id" = "workspaces"."current_run_id")'),
        )
    return query.order_by(*columns)


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]

"""Organizations, the workspaces of one, and the variables of a workspace."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from app import links, organizations, runs, settings, variables, workspaces
from app.access.actors import Actor
from app.http.routing import Route
from app.runs import lifecycle
from app.runs.models import Run
from app.runs.statuses import Row
from app.variables.inheritance import Placed
from app.variables.values import reveal
from app.web import visitors
from app.web.answers import page, to
from app.workspaces.models import Workspace

PAGE = 50

#: The two kinds of variables: what a page calls them and says where there are none.
KINDS = (
    ("terraform", "Terraform variables", "None. What a configuration asks for by a variable block belongs here."),
    ("env", "Environment variables", "None. Credentials of providers belong here, as AWS_ACCESS_KEY_ID for instance."),
)


async def all_organizations(request: Request) -> Response:
    """GET /app: one's organizations; where there is only one, that."""
    found = await organizations.visible(visitors.actor(request)).order_by("name")
    if len(found) == 1:
        return to(links.organization(found[0].name))
    return page(request, "organizations/index.html", organizations=found)


@dataclass(frozen=True, slots=True)
class Listed:
    workspace: Workspace
    run: Run | None
    badge: Row | None


async def index(request: Request) -> Response:
    """GET /app/{organization}: its workspaces; where there are none, how to begin."""
    actor = visitors.actor(request)
    organization = await organizations.find(actor, request.path_params["organization"])
    q, after = request.query_params.get("q", "")[:90], request.query_params.get("after", "")[:90]
    found = workspaces.visible(actor).filter(organization_id=organization.id)
    if q:
        found = found.filter(name__icontains=q)
    shown = await found.filter(name__gt=after).order_by("name").limit(PAGE + 1)
    if not (shown or q or after):
        return page(request, "organizations/empty.html", organization=organization)
    more = None
    if len(shown) > PAGE:
        query = {"after": shown[PAGE - 1].name} | ({"q": q} if q else {})
        more = f"{links.organization(organization.name)}?{urlencode(query)}"
    rows = await _with_runs(actor, shown[:PAGE])
    return page(request, "workspaces/index.html", organization=organization, rows=rows, q=q, more=more)


async def _with_runs(actor: Actor, shown: list[Workspace]) -> list[Listed]:
    """Each workspace with the run that holds or held it last, else the newest."""
    of_workspace = {workspace.id: workspace.current_run_id or workspace.latest_run_id for workspace in shown}
    found = {run.id: run for run in await runs.visible(actor).filter(id__in=[id for id in of_workspace.values() if id])}
    rows = []
    for workspace in shown:
        run = found.get(of_workspace[workspace.id] or "")
        rows.append(Listed(workspace, run, lifecycle.badge(run) if run else None))
    return rows


async def find(request: Request) -> Workspace:
    """The workspace that the address names."""
    actor = visitors.actor(request)
    organization = await organizations.find(actor, request.path_params["organization"])
    return await workspaces.find_by_name(actor, organization, request.path_params["workspace"])


async def show_variables(request: Request) -> Response:
    """GET /app/{organization}/{workspace}/variables"""
    workspace = await find(request)
    found = await variables.overview(visitors.actor(request), workspace)
    kinds = [
        (heading, empty, [_shown(one) for one in found if one.variable.category == category])
        for category, heading, empty in KINDS
    ]
    document, curl = _curl(workspace)
    return page(request, "workspaces/variables.html", workspace=workspace, kinds=kinds, document=document, curl=curl)


def _shown(placed: Placed) -> dict[str, Any]:
    """What a page may know of a variable: a sensitive value is not even opened."""
    variable = placed.variable
    return {
        "key": variable.key,
        "value": None if variable.sensitive else reveal(variable).reveal(),
        "hcl": variable.hcl,
        "description": variable.description,
        "updated_at": variable.updated_at,
        "from_set": placed.variable_set,
        "overwriter": _source(placed.overwriter) if placed.overwriter else None,
        "overwrites": [_source(one) for one in placed.overwritten],
    }


def _source(placed: Placed) -> str:
    """Where it comes from, in words."""
    return f"set {placed.variable_set.name}" if placed.variable_set else "the workspace"


def _curl(workspace: Workspace) -> tuple[str, str]:
    """How to set a variable without a page: what to send, and the command that sends it."""
    attributes = {"key": "region", "value": "eu-west-1", "category": "terraform", "hcl": False, "sensitive": False}
    document = json.dumps({"data": {"type": "vars", "attributes": attributes}}, indent=2)
    url = f"{settings.current().external_url}/api/v2/workspaces/{workspace.id}/vars"
    return document, (
        'curl --fail-with-body -H "Authorization: Bearer $TOKEN" \\\n'
        '  -H "Content-Type: application/vnd.api+json" \\\n'
        f"  -d @variable.json {url}"
    )


routes = [
    Route("/app", visitors.signed_in(all_organizations)),
    Route("/app/{organization}", visitors.signed_in(index)),
    Route("/app/{organization}/{workspace}/variables", visitors.signed_in(show_variables)),
    Route("/app/{organization}/workspaces/{workspace}/variables", visitors.signed_in(show_variables)),
]

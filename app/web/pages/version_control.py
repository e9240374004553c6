"""Which repository a workspace follows, and what it made of the last commits."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from app import links, settings, workspaces
from app.access.permissions import grants
from app.errors import Invalid, NotFound
from app.http.routing import Route
from app.vcs import connections, fork_commits, installations
from app.vcs.models import Connection, VcsEvent
from app.web import visitors
from app.web.answers import page, to
from app.web.pages.workspaces import find
from app.workspaces.models import Workspace

#: Repositories that the form proposes, events that are told, and commits of forks.
MOST_PROPOSED = 500
MOST_EVENTS = 10
MOST_WAITING = 50
#: What is done with pull requests of forks, in words.
FORK_POLICIES = {
    connections.APPROVE: "planned once somebody has approved the commit",
    connections.DENY: "not planned",
    connections.ALLOW: "planned at once",
}
#: Settings of the workspace that the form has besides: those that are on or off, and those that are a line each.
SWITCHES = ("queue_all_runs", "speculative_enabled", "file_triggers_enabled")
LISTS = ("trigger_patterns", "trigger_prefixes")
EMPTY = dict.fromkeys(
    ("repository", "installation", "branch", "tags_regex", "submodules", "working_directory", *SWITCHES, *LISTS), ""
) | {"fork_policy": connections.APPROVE}


async def show(request: Request) -> Response:
    """GET /app/{organization}/{workspace}/settings/version-control"""
    return await _page(request, await find(request))


async def connect(request: Request) -> Response:
    """POST /app/{organization}/{workspace}/settings/version-control"""
    workspace, actor = await find(request), visitors.actor(request)
    sent = await visitors.form(request)
    wanted = {
        "identifier": sent.get("repository", "").strip(),
        "installation_id": sent.get("installation", ""),
        "branch": sent.get("branch", "").strip(),
        "tags_regex": sent.get("tags_regex", "").strip(),
        "ingress_submodules": "submodules" in sent,
        "fork_policy": sent.get("fork_policy"),
    }
    try:
        connecting = await connections.change(actor, workspace, wanted)
        await workspaces.update(actor, workspace, also=connecting.write, **_settings(sent))
    except Invalid as error:
        return await _page(request, workspace, 422, refusal=error.sentence, sent=sent)
    return to(_address(workspace))


async def ask_disconnect(request: Request) -> Response:
    """GET /app/{organization}/{workspace}/settings/version-control/disconnect"""
    workspace = await find(request)
    connection = await connections.of(workspace)
    if connection is None:
        return to(_address(workspace))
    return page(
        request,
        "ask.html",
        question=f"Disconnect {workspace.name} from {connection.repository.full_name}?",
        sentences=["Commits and pull requests plan nothing here from then on. Runs, states and settings stay."],
        action=f"{_address(workspace)}/disconnect",
        comment="none",
        button="Disconnect",
        button_class="btn-danger",
        back=_address(workspace),
        back_label="Keep it connected",
    )


async def disconnect(request: Request) -> Response:
    """POST /app/{organization}/{workspace}/settings/version-control/disconnect"""
    workspace = await find(request)
    await connections.disconnect(visitors.actor(request), workspace)
    return to(_address(workspace))


async def approve(request: Request) -> Response:
    """POST /app/{organization}/{workspace}/settings/version-control/approve: let a fork's commit be planned."""
    workspace, actor = await find(request), visitors.actor(request)
    commit = await fork_commits.find(actor, (await visitors.form(request)).get("commit", ""))
    if commit.workspace_id != workspace.id:
        raise NotFound("There is no such commit of a fork in this workspace.")
    await fork_commits.approve(actor, commit)
    return to(_address(workspace))


async def _page(
    request: Request,
    workspace: Workspace,
    status: int = 200,
    *,
    refusal: str | None = None,
    sent: dict[str, str] | None = None,
) -> Response:
    actor, connection = visitors.actor(request), await connections.of(workspace)
    waiting, rights = await fork_commits.waiting(actor, workspace), grants(actor, workspace.organization_id)
    usable = await installations.linked_to(workspace.organization_id)
    return page(
        request,
        "workspaces/version_control.html",
        status,
        workspace=workspace,
        connection=connection,
        trouble=await connections.trouble(connection) if connection else None,
        installations=usable,
        repositories=await installations.repository_names(workspace.organization_id, MOST_PROPOSED),
        waiting=await waiting.limit(MOST_WAITING),
        waiting_count=await waiting.count(),
        may_approve="run:queue" in rights,
        events=await VcsEvent.filter(workspace_id=workspace.id).order_by("-created_at", "-id").limit(MOST_EVENTS),
        fork_policies=FORK_POLICIES,
        fork_policy=connections.fork_policy(connection) if connection else None,
        allows_forks=settings.current().allow_forks,
        may_change="workspace:update" in rights,
        form=EMPTY | (_form(workspace, connection) if sent is None else sent),
        refusal=refusal,
    )


def _settings(sent: dict[str, str]) -> dict[str, Any]:
    """The workspace's settings as the form was sent."""
    return {
        "working_directory": sent.get("working_directory", "").strip(),
        **{name: name in sent for name in SWITCHES},
        **{name: [line.strip() for line in sent.get(name, "").splitlines() if line.strip()] for name in LISTS},
    }


def _form(workspace: Workspace, connection: Connection | None) -> dict[str, str]:
    """The form as it would have been sent for *connection*, or is proposed for a new one."""
    given = {
        "working_directory": workspace.working_directory,
        **{name: "on" if getattr(workspace, name) else "" for name in SWITCHES},
        **{name: "\n".join(getattr(workspace, name)) for name in LISTS},
    }
    if connection is None:
        return given | {"queue_all_runs": "on"}
    return given | {
        "repository": connection.repository.full_name,
        "installation": connection.repository.installation_id,
        "branch": connection.branch,
        "tags_regex": connection.tags_regex,
        "submodules": "on" if connection.ingress_submodules else "",
        "fork_policy": connection.fork_policy,
    }


def _address(workspace: Workspace) -> str:
    return links.version_control(workspace.organization.name, workspace.name)


def _routes() -> list[Route]:
    """Each page by both of its addresses."""
    found = []
    for base in ("/app/{organization}/{workspace}", "/app/{organization}/workspaces/{workspace}"):
        here = f"{base}/settings/version-control"
        found += [
            Route(here, visitors.signed_in(show)),
            Route(here, visitors.signed_in(connect), methods=["POST"]),
            Route(f"{here}/approve", visitors.signed_in(approve), methods=["POST"]),
            Route(f"{here}/disconnect", visitors.signed_in(ask_disconnect)),
            Route(f"{here}/disconnect", visitors.signed_in(disconnect), methods=["POST"]),
        ]
    return found


routes = _routes()

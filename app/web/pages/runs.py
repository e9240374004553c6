"""The runs of a workspace, the page of one, its logs, and what can be done with it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from app import links, runs
from app.access.actors import Actor
from app.errors import NotFound
from app.http.routing import Endpoint, Route
from app.runs import lifecycle, lists, logs, outdated, waiting
from app.runs.models import Run
from app.runs.outdated import Outdated
from app.runs.statuses import Row
from app.runs.waiting import Waiting
from app.vcs import fork_commits
from app.web import live, log_lines, run_view, visitors
from app.web.answers import HEADERS, page, to
from app.web.log_lines import Excerpt
from app.web.pages.workspaces import find as find_workspace
from app.web.run_view import BUTTONS, Button, RunView
from app.workspaces import locking

PAGE = 50
_PIECE = 1024 * 1024

Act = Callable[[Actor, Run, str | None], Awaitable[Any]]


async def _comment(actor: Actor, run: Run, text: str | None) -> None:
    await runs.comment(actor, run, text or "")


async def _retry(actor: Actor, run: Run, text: str | None) -> Run:
    return await runs.retry(actor, run)


#: What the button of that name does; one that makes a run gives it.
ACTS: dict[str, Act] = {
    "comment": _comment,
    "confirm": runs.confirm,
    "discard": runs.discard,
    "cancel": runs.cancel,
    "force-cancel": runs.force_cancel,
    "force-execute": runs.force_execute,
    "retry": _retry,
}


@dataclass(frozen=True, slots=True)
class Listed:
    run: Run
    badge: Row
    kind: str
    by: str
    waiting: Waiting | None
    outdated: Outdated | None


async def index(request: Request) -> Response:
    """GET /app/{organization}/{workspace}/runs"""
    actor = visitors.actor(request)
    workspace = await find_workspace(request)
    plan_only, before = "plan-only" in request.query_params, _number(request.query_params.get("before", ""))
    wanted = lists.Wanted(operations=("plan_only",)) if plan_only else lists.Wanted()
    found = await lists.of_workspace(actor, workspace, wanted)
    if before is not None:
        found = found.filter(number__lt=before)
    shown = await found.limit(PAGE + 1)
    more = None
    if len(shown) > PAGE:
        more = f"?before={shown[PAGE - 1].number}{'&plan-only=1' if plan_only else ''}"
    return page(
        request,
        "runs/index.html",
        workspace=workspace,
        rows=await _listed(actor, shown[:PAGE]),
        plan_only=plan_only,
        before=before,
        more=more,
        locked_by=await locking.holder(workspace) if workspace.locked_at else None,
        unapproved=await (await fork_commits.waiting(actor, workspace)).count(),
    )


async def _listed(actor: Actor, shown: list[Run]) -> list[Listed]:
    names = await run_view.names_of(actor, {run.created_by_id for run in shown})
    reasons, stale = await waiting.reasons_of(shown), await outdated.of(shown)
    return [
        Listed(
            run,
            outdated.BADGE if run.id in stale else lifecycle.badge(run),
            run_view.KINDS[lifecycle.operation(run)],
            run_view.name_of(run.created_by_id, names),
            reasons.get(run.id),
            stale.get(run.id),
        )
        for run in shown
    ]


async def find(request: Request) -> RunView:
    """The run that the address names.  Raises `Elsewhere` if its address is another."""
    actor = visitors.actor(request)
    run = await runs.find(actor, request.path_params["run"])
    view = await run_view.gather(actor, run)
    named = request.path_params["organization"], request.path_params["workspace"]
    if named != (view.organization.name, view.workspace.name):
        raise Elsewhere(view)
    return view


class Elsewhere(NotFound):
    """The run is another workspace's than the address says; that one may have been renamed."""

    def __init__(self, view: RunView) -> None:
        super().__init__("There is no such run in this workspace, or you may not see it.")
        self.address = view.address


async def show(request: Request) -> Response:
    """GET /app/{organization}/{workspace}/runs/{run}"""
    try:
        view = await find(request)
    except Elsewhere as elsewhere:
        return to(elsewhere.address)
    excerpts = {
        stage.name: await log_lines.excerpt(phase.id)
        for stage, phase in zip(view.stages, view.phases, strict=True)
        if stage.has_log
    }
    return page(
        request,
        "runs/show.html",
        view=view,
        excerpts=excerpts,
        nothing=Excerpt(),
        following=live.following(view, {name: log.position for name, log in excerpts.items()}),
    )


async def watch(request: Request) -> Response:
    """GET /app/{organization}/{workspace}/runs/{run}/live"""
    view = await find(request)
    return live.stream(visitors.visitor(request), view, live.asked_from(request))


async def log_page(request: Request) -> Response:
    """GET /app/{organization}/{workspace}/runs/{run}/plan, …/apply"""
    view, name = await find(request), _phase_name(request)
    phase = view.plan if name == "plan" else view.apply
    return page(request, "runs/log.html", view=view, name=name, log=await log_lines.excerpt(phase.id))


async def log_text(request: Request) -> Response:
    """GET /app/{organization}/{workspace}/runs/{run}/plan.log, …/apply.log: what there is now, as it was written"""
    view, name = await find(request), _phase_name(request).removesuffix(".log")
    phase = view.plan if name == "plan" else view.apply
    headers = {**HEADERS, "Content-Disposition": f'inline; filename="{view.run.id}-{name}.log"'}
    return StreamingResponse(_text(phase.id), headers=headers, media_type="text/plain; charset=utf-8")


async def _text(phase_id: str) -> AsyncIterator[bytes]:
    """The log without its frame."""
    offset = 0
    while data := await logs.read(phase_id, offset, _PIECE):
        yield (data.removeprefix(logs.OPENED) if offset == 0 else data).removesuffix(logs.CLOSED)
        offset += len(data)


def _asks(button: Button) -> Endpoint:
    async def ask(request: Request) -> Response:
        view = await find(request)
        doomed = view.plan.resource_destructions if button.slug == "confirm" else None
        return page(
            request,
            "ask.html",
            question=button.question.format(view.workspace.name),
            sentences=[view.run.message, *_figures(view, button), button.consequence],
            action=f"{view.address}/{button.slug}",
            comment=button.comment,
            button=f"Apply and destroy {doomed}" if doomed else button.verb,
            button_class="btn-danger" if doomed else button.style.replace("btn-quiet", "btn-main"),
            back=view.address,
            back_label="Back to the run",
        )

    ask.__name__, ask.__module__ = f"ask_{button.slug.replace('-', '_')}", __name__
    return ask


def _figures(view: RunView, button: Button) -> list[str]:
    """What is about to happen, before somebody lets it."""
    figures = run_view.counts(view.plan, done=False) if button.slug == "confirm" else ""
    return [f"{figures}."] if figures else []


def _does(button: Button) -> Endpoint:
    async def act(request: Request) -> Response:
        view = await find(request)
        sent = await visitors.form(request)
        made = await ACTS[button.slug](visitors.actor(request), view.run, sent.get("comment", "").strip() or None)
        if isinstance(made, Run):
            return to(links.run(view.organization.name, view.workspace.name, made.id))
        return to(view.address)

    act.__name__, act.__module__ = button.slug.replace("-", "_"), __name__
    return act


def _phase_name(request: Request) -> str:
    return request.url.path.rpartition("/")[2]


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def _routes() -> list[Route]:
    """Each page by both of its addresses, the longer of which is never ambiguous."""
    found = []
    for base in ("/app/{organization}/{workspace}", "/app/{organization}/workspaces/{workspace}"):
        run = base + "/runs/{run}"
        found += [
            Route(base, visitors.signed_in(index)),
            Route(base + "/runs", visitors.signed_in(index)),
            Route(run, visitors.signed_in(show)),
            Route(run + "/live", live.guarded(watch)),
            *(Route(f"{run}/{name}", visitors.signed_in(log_page)) for name in ("plan", "apply")),
            *(Route(f"{run}/{name}.log", visitors.signed_in(log_text)) for name in ("plan", "apply")),
        ]
        for button in BUTTONS:
            path = f"{run}/{button.slug}"
            found.append(Route(path, visitors.signed_in(_asks(button))))
            found.append(Route(path, visitors.signed_in(_does(button)), ["POST"]))
    return found


routes = _routes()

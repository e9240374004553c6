"""What holds for every page."""

from __future__ import annotations

import re
from hashlib import sha256
from importlib.resources import files
from pathlib import Path

import pytest

from app import links
from app.access.actors import SYSTEM
from app.access.models import User
from app.http.routing import Route, Router
from app.organizations.models import Organization
from app.runs import lifecycle, phase_status
from app.runs.models import Run
from app.runs.statuses import ROWS
from app.secret import Secret
from app.settings import Settings
from app.variables import Change, sets
from app.variables.sets import SetChange
from app.web import answers, static_files
from app.web.routes import routes
from app.workspaces.models import Workspace
from tests import factories
from tests.integration.web import planning
from tests.integration.web.conftest import Browser, text

EVIL = "<script>alert('é')</script>\"'&amp;"
PUBLIC = {"/", "/login", "/login/once/{token}", "/static/{name}"}
OWN = {"/app", "/logout", "/app/settings/password", "/app/settings/tokens"}


def address(route: Route, run: Run) -> str:
    given = {"organization": "acme", "workspace": "network", "run": run.id, "token": "at-1234567890123456", "name": "x"}
    return re.sub(r"\{(\w+)\}", lambda found: given[found[1]], route.path)


@pytest.fixture
async def run(workspace: Workspace, owner: User) -> Run:
    actor = await factories.actor_of(owner)
    return await planning.planned(await factories.make_run(workspace, actor=actor, message=EVIL), EVIL.encode() + b"\n")


async def test_every_page_has_the_policy_and_is_not_kept(alice: Browser, nobody: Browser, run: Run) -> None:
    for route in routes:
        if "GET" not in route.methods:
            continue
        for browser in (alice, nobody):
            if "{name}" in route.path or (browser is alice and route.path.endswith("/live")):
                continue
            page = await browser.get(address(route, run))
            assert page.headers["content-security-policy"] == answers.POLICY, route.path
            assert page.headers["cache-control"].startswith("no-store"), route.path
            assert page.headers["x-content-type-options"] == "nosniff"
            assert page.headers["referrer-policy"] == "same-origin"
            if page.headers.get("content-type", "").startswith("text/html"):
                assert not re.search(r"<style|\sstyle=|<script(?! src=\"/static/)|\son[a-z]+=|hx-on|js:", page.text), (
                    route.path
                )


async def test_every_page_escapes_what_people_write(alice: Browser, run: Run, workspace: Workspace) -> None:
    await factories.make_variable(workspace, "evil", EVIL, description=EVIL)
    await alice.post(links.run("acme", "network", run.id) + "/comment", {"comment": EVIL})
    for route in routes:
        if "GET" in route.methods and not route.path.endswith((".log", "/live")):
            page = await alice.get(address(route, run))
            assert "<script>alert" not in page.text, route.path
    shown = text(await alice.get(links.run("acme", "network", run.id)))
    assert shown.count(EVIL) >= 4  # message, title, log, comment
    assert EVIL in text(await alice.get(links.variables("acme", "network")))
    assert EVIL in text(await alice.get("/app/acme?q=network"))


async def test_variables_say_which_set_they_are_from_and_which_one_wins(
    alice: Browser, workspace: Workspace, organization: Organization
) -> None:
    await factories.make_variable(workspace, "region", "its-own")
    given = [Change(key=key, value=Secret(f"{key}-of-set"), category="terraform") for key in ("region", "zone")]
    await sets.create(SYSTEM, organization, SetChange(name="<Base>", is_global=True, variables=given))
    page = await alice.get(links.variables("acme", "network"))
    shown = text(page)
    assert "zone-of-set" in shown
    assert shown.count("set <Base>") == 3
    assert "Overwrites that of set <Base>." in shown
    assert "Overwritten by the workspace: runs do not get this value." in shown
    assert "<s><code>region</code></s>" in page.text
    assert "<Base>" not in page.text


async def test_every_page_needs_a_login(nobody: Browser, run: Run) -> None:
    for route in routes:
        if route.path in PUBLIC or route.path.endswith("/live"):
            continue
        for method in route.methods:
            answer = await (nobody.get if method == "GET" else nobody.post)(address(route, run))
            assert answer.status_code == 303, route.path
            assert answer.headers["location"].startswith("/login?next="), route.path


async def test_another_organizations_member_finds_nothing(stranger: Browser, run: Run) -> None:
    for route in routes:
        if route.path in PUBLIC | OWN or route.path.endswith("/live"):
            continue
        for method in route.methods:
            answer = await (stranger.get if method == "GET" else stranger.post)(address(route, run))
            assert answer.status_code == 404, route.path
            assert "mallory" in text(answer)
            assert EVIL not in text(answer), route.path
    await run.refresh_from_db()
    assert lifecycle.is_confirmable(run)
    for path in (f"/app/elsewhere/network/runs/{run.id}", f"/app/elsewhere/x/runs/{run.id}/plan.log"):
        assert (await stranger.get(path)).status_code == 404


async def test_a_stream_for_who_may_not_see_it_has_ended(stranger: Browser, nobody: Browser, run: Run) -> None:
    for browser in (stranger, nobody):
        stream = await browser.get(links.run("acme", "network", run.id) + "/live")
        assert stream.headers["content-type"].startswith("text/event-stream")
        assert stream.text.endswith("event: ended\ndata:\n\n")
        assert run.id not in stream.text
        assert EVIL not in stream.text


async def test_what_is_not_there_is_a_page_too(alice: Browser, opened: Settings) -> None:
    for path in ("/app/acme/network/nothing/here", "/app/acme/nope", "/app/acme/network/runs/run-x", "/login/x/y/z"):
        page = await alice.get(path)
        assert page.status_code == 404
        assert page.headers["content-type"].startswith("text/html")
    assert (await alice.http.delete("/login")).status_code == 405
    assert (await alice.get("/api/v2/nothing")).headers["content-type"] == "application/vnd.api+json"


async def test_static_files_are_kept_for_ever_under_a_name_of_their_content(nobody: Browser) -> None:
    for name in static_files.FILES:
        file = await nobody.get(static_files.url(name))
        assert file.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert file.content == static_files.FILES[name].content
        assert file.headers["content-encoding"] == "gzip"
    assert (await nobody.get("/static/stateroom.css")).status_code == 404
    assert (await nobody.get("/static/..%2froutes.py")).status_code == 404


async def test_a_page_loads_no_more_than_it_may(alice: Browser, run: Run) -> None:
    def packed(*names: str) -> int:
        return sum(len(static_files.FILES[name].packed) for name in names)

    assert packed("stateroom.css") <= 12_000
    assert packed("pages.js") <= 6_000
    assert packed("live.js") <= 18_000
    assert packed("icons.svg") <= 3_000


def test_the_vendored_files_are_those_of_the_decision() -> None:
    page = (Path(__file__).parents[3] / "docs/decisions/0003-vendored-htmx.md").read_text()
    vendored = files("app.web") / "static/vendor"
    for name in static_files.BUNDLES["live.js"]:
        assert f"| {name} | `{sha256((vendored / name).read_bytes()).hexdigest()}` |" in page


def test_every_icon_a_status_names_is_drawn() -> None:
    drawn = set(re.findall(r'id="i-(\w+)"', static_files.FILES["icons.svg"].content.decode()))
    assert {row.icon for row in [*ROWS.values(), *phase_status.PHASE_ROWS.values()]} <= drawn
    templates = [page.read_text() for page in (files("app.web") / "templates").rglob("*.html")]  # type: ignore[attr-defined]
    used = {name for page in templates for name in re.findall(r'icon\("(\w+)"', page)}
    assert used <= drawn


def test_words_of_ours_are_no_names_of_organizations() -> None:
    assert "settings" in Router(routes).words_beside("/app/{organization}")


def test_a_workspace_called_like_a_page_has_the_longer_address() -> None:
    beside = Router(routes).words_beside("/app/acme/{workspace}") - {""}
    assert beside <= links.BESIDE_WORKSPACES
    assert links.workspace("acme", "runs") == "/app/acme/workspaces/runs"
    assert links.workspace("acme", "a b/c") == "/app/acme/a%20b%2Fc"


@pytest.mark.parametrize("name", ["runs", "workspaces", "settings", "new"])
async def test_a_workspace_called_like_a_page_is_reached(
    alice: Browser, organization: Organization, owner: User, name: str
) -> None:
    workspace = await factories.make_workspace(organization, name)
    run = await factories.make_run(workspace, actor=await factories.actor_of(owner), message="of the odd one")
    for path in (
        f"/app/acme/workspaces/{name}",
        f"/app/acme/workspaces/{name}/runs",
        f"/app/acme/{name}/runs/{run.id}",
        f"/app/acme/workspaces/{name}/runs/{run.id}",
    ):
        page = await alice.get(path)
        assert (page.status_code, "of the odd one" in text(page)) == (200, True), path

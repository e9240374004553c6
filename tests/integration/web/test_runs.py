from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta

import orjson
import pytest

from app import clock, links, runs, workspaces
from app.access.actors import SYSTEM
from app.access.models import Session, User
from app.organizations.models import Organization
from app.runs import lifecycle
from app.runs.models import Plan, Run
from app.storage import objects
from app.web import live, log_lines, run_view
from app.web.live import Seen
from app.web.visitors import Visitor
from app.workspaces.models import Workspace
from tests import factories
from tests.integration.web import planning
from tests.integration.web.conftest import Browser, text


@pytest.fixture
async def run(workspace: Workspace, owner: User) -> Run:
    return await factories.make_run(workspace, actor=await factories.actor_of(owner), message="Widen the subnet")


def page_of(run: Run) -> str:
    return links.run("acme", "network", run.id)


async def test_the_page_says_how_the_run_stands(alice: Browser, run: Run) -> None:
    await planning.planned(run, b"\x1b[1mPlan:\x1b[0m 1 to add, <b>0</b> to change\n")
    await Plan.filter(run_id=run.id).update(resource_additions=1, resource_changes=0, resource_destructions=2)
    page = await alice.get(page_of(run))
    shown = text(page)
    for words in (
        "Needs Confirmation",
        "Widen the subnet",
        "alice",
        "1 to add, 0 to change, 2 to destroy",
        "<b>0</b> to change",
        "Waits for someone to confirm",
        "alice started this run",
        "Confirm & Apply…",
        "Discard Run…",
        "Add Comment",
    ):
        assert words in shown, words
    assert "Cancel Run" not in shown
    assert '<span class="h">Plan:</span> 1 to add' in page.text
    assert 'http-equiv="refresh"' in page.text


async def test_configuration_that_a_plan_wrote_is_shown(alice: Browser, workspace: Workspace, run: Run) -> None:
    change = {"importing": {"id": "i-1"}, "generated_config": 'resource "x" "y" {\n  name = "<xmp>"\n}'}
    document = orjson.dumps({"resource_changes": [{"address": "x.y", "change": change}, {"address": "x.z"}]})
    stored = await objects.put("plan-json-redacted", workspace.organization_id, document)
    await stored.save(force_create=True)
    await Plan.filter(run_id=run.id).update(json_output_redacted_id=stored.id)
    await Run.filter(id=run.id).update(generated_configuration=True)
    await planning.planned(run)
    page = await alice.get(page_of(run))
    assert 'name = "<xmp>"' in text(page)
    assert "<xmp>" not in page.text
    assert 'aria-label="x.y, imported as i-1"' in page.text
    assert "This plan cannot be applied" in text(page)
    assert "Confirm & Apply" not in text(page)


async def test_confirming_asks_with_what_is_destroyed_and_then_does_it(alice: Browser, run: Run) -> None:
    await planning.planned(run)
    await Plan.filter(run_id=run.id).update(resource_additions=0, resource_changes=0, resource_destructions=2)
    asked = text(await alice.get(page_of(run) + "/confirm"))
    assert "Apply this plan to network?" in asked
    assert "Apply and destroy 2" in asked
    await run.refresh_from_db()
    assert lifecycle.is_confirmable(run)
    done = await alice.post(page_of(run) + "/confirm", {"comment": "go <i>on</i>"})
    assert (done.status_code, done.headers["location"]) == (303, page_of(run))
    shown = text(await alice.get(page_of(run)))
    assert "Apply queued" in shown
    assert "alice confirmed go <i>on</i>" in shown
    again = await alice.post(page_of(run) + "/confirm")
    assert again.status_code == 409
    assert "does not wait for a confirmation" in text(again)
    assert f'href="{page_of(run)}"' in again.text


async def test_each_button_does_what_it_says(alice: Browser, workspace: Workspace, owner: User) -> None:
    actor = await factories.actor_of(owner)
    discarded = await planning.planned(await factories.make_run(workspace, actor=actor))
    assert (await alice.post(page_of(discarded) + "/discard")).status_code == 303
    canceled = await factories.make_run(workspace, actor=actor)
    assert (await alice.post(page_of(canceled) + "/cancel")).status_code == 303
    forced = await factories.make_run(workspace, actor=actor)
    await planning.start(forced)
    assert (await alice.post(page_of(forced) + "/cancel")).status_code == 303
    shown = text(await alice.get(page_of(forced)))
    assert "Being canceled" in shown
    assert "Force Cancel" not in shown
    assert (await alice.post(page_of(forced) + "/force-cancel")).status_code == 409
    await Run.filter(id=forced.id).update(force_cancel_available_at=clock.now() - timedelta(seconds=1))
    assert "Force Cancel Run…" in text(await alice.get(page_of(forced)))
    assert (await alice.post(page_of(forced) + "/force-cancel")).status_code == 303
    assert (await alice.post(page_of(forced) + "/comment", {"comment": "why?"})).status_code == 303
    assert (await alice.post(page_of(forced) + "/comment", {"comment": " "})).status_code == 422
    labels = [text(await alice.get(page_of(run))) for run in (discarded, canceled, forced)]
    assert [word in page for word, page in zip(("Discarded", "Canceled", "Force Canceled"), labels, strict=True)]
    assert "alice commented why?" in labels[2]


async def test_an_outdated_plan_says_why_and_is_planned_again(
    alice: Browser, workspace: Workspace, owner: User
) -> None:
    run = await factories.make_run(workspace, actor=await factories.actor_of(owner), plan_only=True)
    await planning.planned(run)
    for address in (page_of(run), links.workspace("acme", "network") + "/runs?plan-only=1"):
        assert "utdated" not in text(await alice.get(address))
    await factories.make_state(workspace, 4)
    why = "The state has moved since this plan was made, from no state to serial 4."
    assert f"Outdated {why}" in text(await alice.get(links.workspace("acme", "network") + "/runs?plan-only=1"))
    page = await alice.get(page_of(run))
    assert "Planned and Finished" not in text(page).partition("Timeline")[0]
    assert f"This plan is outdated {why} Plan again to see what it comes to now. Plan again…" in text(page)
    assert page.text.count(f'href="{page_of(run)}/retry"') == 2
    again = await alice.post(page_of(run) + "/retry")
    assert "utdated" not in text(await alice.get(again.headers["location"]))


async def test_a_plan_nobody_can_apply_is_retried_by_its_button(
    alice: Browser, workspace: Workspace, owner: User
) -> None:
    actor = await factories.actor_of(owner)
    run = await planning.planned(
        await factories.make_run(workspace, actor=actor, plan_only=True, message="What if", target_addrs=["a.b"])
    )
    assert "Retry Run…" in text(await alice.get(page_of(run)))
    forged = await alice.post(page_of(run) + "/retry", headers={"origin": "https://evil.example"})
    assert forged.status_code == 403
    assert await Run.filter(workspace_id=workspace.id).count() == 1
    sent = await alice.post(page_of(run) + "/retry")
    again = await Run.get(workspace_id=workspace.id, number=run.number + 1)
    assert (sent.status_code, sent.headers["location"]) == (303, page_of(again))
    kept = ("configuration_version_id", "message", "target_addrs", "plan_only", "terraform_version", "created_by_id")
    assert [getattr(again, name) for name in kept] == [getattr(run, name) for name in kept]
    ordinary = await planning.planned(await factories.make_run(workspace, actor=actor))
    assert "Retry Run…" not in text(await alice.get(page_of(ordinary)))
    assert (await alice.post(page_of(ordinary) + "/retry")).status_code == 409


async def test_a_pending_run_says_what_it_waits_for(alice: Browser, run: Run, owner: User) -> None:
    await planning.planned(run)
    waiting = await factories.make_run(await Workspace.get(id=run.workspace_id), message="Next one")
    shown = text(await alice.get(page_of(waiting)))
    assert "Waiting for ‘Widen the subnet’ to be confirmed or discarded" in shown
    assert f'href="{page_of(run)}"' in (await alice.get(page_of(waiting))).text
    assert "Waiting for ‘Widen the subnet’" in text(await alice.get("/app/acme/network/runs"))


async def test_a_renamed_workspaces_runs_are_found(alice: Browser, run: Run) -> None:
    moved = await alice.get(f"/app/acme/before/runs/{run.id}")
    assert (moved.status_code, moved.headers["location"]) == (303, page_of(run))
    assert (await alice.post(f"/app/acme/before/runs/{run.id}/cancel")).status_code == 404


async def test_logs_are_there_as_plain_text(alice: Browser, run: Run) -> None:
    content = "\x1b[32mÄ\x1b[0m <b>\n".encode() * 40_000
    await planning.planned(run, content)
    plain = await alice.get(page_of(run) + "/plan.log")
    assert plain.content == content
    assert plain.headers["content-type"] == "text/plain; charset=utf-8"
    empty = await alice.get(page_of(run) + "/apply.log")
    assert (empty.status_code, empty.content) == (200, b"")


@pytest.mark.parametrize("length", [3_000, 900_000])
async def test_a_long_log_is_shown_from_both_ends(alice: Browser, run: Run, length: int) -> None:
    await planning.planned(run, b"".join(b"line %d\n" % number for number in range(1, length + 1)))
    page = await alice.get(page_of(run))
    shown = text(page)
    assert page.text.count('class="ln"') <= log_lines.HEAD + log_lines.TAIL + 1
    assert "line 200 " in shown
    assert "line 201 " not in shown
    assert f"line {length} " in shown
    assert f"line {length - 900} " in shown
    assert "more lines in the plain text" in shown.lower()
    if length < 10_000:
        assert f'id="plan-L{length}"' in page.text
        assert "1 800 more lines" in shown.replace("\N{THIN SPACE}", " ")
    assert len(page.content) < 400_000


async def test_lists_show_runs_and_workspaces(alice: Browser, run: Run, organization: Organization) -> None:
    assert "Widen the subnet" in text(await alice.get("/app/acme"))
    for path in ("/app/acme/network", "/app/acme/network/runs", "/app/acme/workspaces/network"):
        assert "Widen the subnet" in text(await alice.get(path))
    speculative = await factories.make_run(
        await Workspace.get(id=run.workspace_id), plan_only=True, message="Only look"
    )
    assert "Only look" not in text(await alice.get("/app/acme/network/runs"))
    assert "Only look" in text(await alice.get("/app/acme/network/runs?plan-only=1"))
    assert "Plan only" in text(await alice.get(page_of(speculative)))
    assert "No workspace matches" in text(await alice.get("/app/acme?q=nothing"))


async def test_an_empty_organization_says_how_to_begin(alice: Browser, organization: Organization) -> None:
    shown = text(await alice.get("/app/acme"))
    assert "Connect your Terraform" in shown
    assert 'organization = "acme"' in shown


async def test_pages_of_lists_go_on_where_the_last_ended(
    alice: Browser, organization: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.web.pages.workspaces.PAGE", 2)
    for name in ("one", "three", "two"):
        await factories.make_workspace(organization, name)
    first = await alice.get("/app/acme")
    assert "three" in text(first)
    assert "two" not in text(first)
    assert 'href="/app/acme?after=three"' in first.text
    assert "two" in text(await alice.get("/app/acme?after=three"))


async def test_a_sensitive_variable_is_never_shown(alice: Browser, workspace: Workspace) -> None:
    await factories.make_variable(workspace, "region", "eu-north-1")
    await factories.make_variable(workspace, "secret", "hunter2hunter2", sensitive=True, category="env")
    page = await alice.get("/app/acme/network/variables")
    assert "eu-north-1" in page.text
    assert "hunter2hunter2" not in page.text
    assert "sensitive value" in text(page)
    assert f"/api/v2/workspaces/{workspace.id}/vars" in text(page)


async def test_a_locked_workspace_says_by_whom(alice: Browser, workspace: Workspace, owner: User) -> None:
    await workspaces.lock(await factories.actor_of(owner), workspace, "<i>holidays</i>")
    run = await factories.make_run(workspace)
    assert "Locked by User alice: ‘<i>holidays</i>’" in text(await alice.get("/app/acme/network"))
    assert "Locked by User alice: ‘<i>holidays</i>’" in text(await alice.get(page_of(run)))


# -- the stream


class Reader:
    """Reads a stream of a run from a place on."""

    def __init__(self, watching: live.Watching) -> None:
        self._messages = watching.messages()
        self.seen = ""
        self.id = ""

    async def until(self, words: str) -> str:
        async with asyncio.timeout(30):
            while words not in self.seen:
                message = await anext(self._messages)
                self.seen += message
                self.id = next((line[4:] for line in message.splitlines() if line.startswith("id: ")), self.id)
        return self.seen

    async def to_the_end(self) -> str:
        with contextlib.suppress(StopAsyncIteration):
            await self.until("never said")
        return self.seen

    async def leave(self) -> None:
        await self._messages.aclose()  # type: ignore[attr-defined]


async def watch(run: Run, user: User, seen: Seen | None = None) -> Reader:
    actor = await factories.actor_of(user)
    view = await run_view.gather(actor, await runs.find(actor, run.id))
    session = await Session.filter(user_id=user.id).select_related("user").first()
    assert session is not None
    return Reader(live.Watching(Visitor(actor, session), view, seen or Seen()))


async def test_lines_and_moves_arrive_as_they_happen(alice: Browser, run: Run, owner: User) -> None:
    reader = await watch(run, owner)
    await reader.until("Plan queued")
    plan = await planning.start(run)
    await plan.write(b"one <b>\n")
    await reader.until("one &lt;b&gt;")
    assert 'hx-target="#stage-plan"' in reader.seen
    await plan.write(b"two, not whole")
    await plan.write(b" yet\n")
    await reader.until("two, not whole yet")
    await plan.finish()
    await reader.until("Confirm &amp; Apply…")
    assert "<title>Needs Confirmation" in reader.seen
    await runs.comment(await factories.actor_of(owner), run, "a\r\nb")
    await reader.until("a\ndata: b")
    await runs.discard(await factories.actor_of(owner), run)
    assert (await reader.to_the_end()).endswith("event: ended\ndata:\n\n")
    assert "Discarded" in reader.seen


async def test_a_reader_goes_on_without_gap_and_without_a_line_twice(alice: Browser, run: Run, owner: User) -> None:
    plan = await planning.start(run)
    await plan.write(b"\x1b[31mone\ntwo\nthr")
    first = await watch(run, owner)
    await first.until(">two<")
    await first.leave()
    await plan.write(b"ee\n\x1b[0mfour\n")
    await plan.finish(changes=False)
    second = await watch(run, owner, Seen.parse(first.id))
    await second.to_the_end()
    assert [number for number in range(1, 6) if f'id="plan-L{number}"' in first.seen] == [1, 2]
    assert [number for number in range(1, 6) if f'id="plan-L{number}"' in second.seen] == [3, 4]
    assert '<span class="d">three</span>' in second.seen
    assert "<span>four</span>" in second.seen
    assert 'hx-target="#stage-plan"' not in second.seen


async def test_a_page_hands_over_to_its_stream(alice: Browser, run: Run, owner: User) -> None:
    plan = await planning.start(run)
    await plan.write(b"one\ntwo")
    page = await alice.get(page_of(run))
    place = page.text.partition("/live?from=")[2].partition('"')[0].replace("%7E", "~")
    assert 'id="plan-L1"' in page.text
    assert 'id="plan-L2"' not in page.text
    reader = await watch(run, owner, Seen.parse(place))
    await plan.write(b" whole\n")
    await reader.until("two whole")
    assert 'id="plan-L1"' not in reader.seen
    assert 'id="plan-L2"' in reader.seen
    assert 'hx-target="#status"' not in reader.seen
    await reader.leave()


async def test_a_flood_is_shown_by_its_end(alice: Browser, run: Run, owner: User) -> None:
    plan = await planning.start(run)
    await plan.write(b"".join(b"line %d\n" % number for number in range(20_000)))
    await plan.finish(changes=False)
    reader = await watch(run, owner)
    await reader.to_the_end()
    assert "line 19999<" in reader.seen
    assert "more lines in the plain text" in reader.seen
    assert reader.seen.count('class="ln"') < 5_000


async def test_a_silent_stream_gives_a_sign_of_life(
    alice: Browser, run: Run, owner: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "COMMENT_EVERY", 0.0)
    monkeypatch.setattr(live, "LOOK_EVERY", 0.05)
    reader = await watch(run, owner)
    await reader.until("Plan queued")
    await reader.until("\n\n:\n\n:\n\n")
    await reader.leave()


async def test_a_session_that_ends_ends_its_streams(
    alice: Browser, run: Run, owner: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "ASK_EVERY", 0.0)
    reader = await watch(run, owner)
    await reader.until("Plan queued")
    await Session.all().delete()
    assert (await reader.to_the_end()).endswith("event: ended\ndata:\n\n")
    assert "not kept up to date" in reader.seen


async def test_the_end_of_the_process_ends_a_stream_that_may_come_back(alice: Browser, run: Run, owner: User) -> None:
    reader = await watch(run, owner)
    await reader.until("Plan queued")
    rest = asyncio.create_task(reader.to_the_end())
    await asyncio.sleep(0)
    live.end_streams()
    async with asyncio.timeout(1):
        assert "ended" not in await rest
    live.open_streams()


async def test_a_stream_that_is_left_leaves_nothing(alice: Browser, run: Run, owner: User) -> None:
    reader = await watch(run, owner)
    await reader.until("Plan queued")
    await reader.leave()
    assert not live._streams
    assert not live._waiting


async def test_the_stream_of_an_ended_run_says_everything_and_ends(alice: Browser, run: Run) -> None:
    await planning.planned(run, b"nothing to do\n", changes=False)
    page = await alice.get(page_of(run))
    assert "hx-sse:connect" not in page.text
    assert "refresh" not in page.text
    stream = await alice.get(page_of(run) + "/live")
    assert "nothing to do" in stream.text
    assert stream.text.endswith("event: ended\ndata:\n\n")
    nonsense = await alice.get(page_of(run) + "/live", headers={"last-event-id": "x'<>~"})
    assert "nothing to do" in nonsense.text


async def test_a_run_canceled_before_it_began_ends_its_stream(alice: Browser, run: Run, owner: User) -> None:
    await runs.cancel(SYSTEM, run)
    reader = await watch(run, owner)
    assert (await reader.to_the_end()).endswith("event: ended\ndata:\n\n")


async def test_the_page_names_what_an_apply_followed_and_what_follows_it(
    alice: Browser, organization: Organization, workspace: Workspace
) -> None:
    app = await factories.make_workspace(organization, "app")
    await factories.make_configuration_version(app, auto_queue_runs=False)
    empty = await factories.make_workspace(organization, "empty")
    for target in (app, empty):
        await factories.make_run_trigger(workspace, target)
    source = await factories.make_run(workspace, auto_apply=True)
    assert "Its apply triggers app , empty (no run: it has no configuration yet)" in text(
        await alice.get(page_of(source))
    )
    await factories.apply(source)
    triggered = await Run.get(triggering_run_id=source.id)
    assert f"Its apply triggers app {triggered.id} , empty" in text(await alice.get(page_of(source)))
    page = await alice.get(links.run("acme", "app", triggered.id))
    assert f"Triggered by network {source.id}" in text(page)
    assert f'href="{page_of(source)}"' in page.text

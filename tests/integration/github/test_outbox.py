"""What is owed to GitHub is told once and slowly, whatever fails on the way; and no secret is told."""

from __future__ import annotations

import asyncio
import json
import re
from datetime import timedelta
from typing import Any

import pytest

from app import clock, ids
from app.execution.redaction import redacted
from app.organizations.models import Organization
from app.runs.models import Plan, Run
from app.settings import Settings
from app.storage import objects
from app.vcs.models import Installation, Repository
from app.workspaces.models import Workspace
from github_app import check_bodies, checks, commit_statuses, outbox
from github_app.api import Refused, Unreachable
from github_app.models import Check, Pace
from tests import factories
from tests.github.rows import Ref, make_repository
from tests.github.teller import Hearing, Virtual, send_all
from tests.integration.web.planning import start

SHA = "a" * 40
REF = Ref()


@pytest.fixture
def time() -> Virtual:
    return Virtual()


@pytest.fixture
async def aggregate(opened: Settings) -> Check:
    """Of a commit that is known to touch nothing yet."""
    organization = await factories.make_organization("acme")
    return await checks.open_aggregate(await make_repository(), organization, SHA, REF)


async def crowd(count: int) -> tuple[list[Check], list[Run]]:
    """A commit that touches *count* workspaces in organizations of twenty each."""
    repository, aggregates, runs = await make_repository(), [], []
    pattern = await factories.make_run(speculative=True)
    workspace = await Workspace.get(id=pattern.workspace_id)
    for first in range(0, count, 20):
        organization = await factories.make_organization()
        for _ in range(first, min(first + 20, count)):
            copy = await _copied(workspace, id=ids.new("workspace"), organization_id=organization.id)
            run = await _copied(pattern, id=ids.new("run"), workspace_id=copy.id, organization_id=organization.id)
            runs.append(run)
        aggregate = await checks.open_aggregate(repository, organization, SHA, REF)
        await checks.open_for_runs(runs[first:], aggregate)
        aggregates.append(await checks.settle(aggregate))
    return aggregates, runs


async def _copied(row: Any, **changes: Any) -> Any:
    values = {name: getattr(row, name) for name in row._meta.fields_db_projection if name not in changes}
    copy = type(row)(**{**values, **changes})
    if isinstance(copy, Workspace):
        copy.name = copy.id
    await copy.save(force_create=True)
    return copy


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_a_hundred_workspaces_stay_below_the_limits_and_all_end(opened: Settings, time: Virtual) -> None:
    hearing = Hearing()
    with clock.using(time):
        _, runs = await crowd(100)
        second = 0
        # plans begin at once and end two a second, faster than GitHub may be told
        for second in range(500):
            await outbox.send(hearing.of)
            if second == 3:
                await Run.all().update(status="planning", event_count=10)
                await checks.catch_up()
            if 5 <= second < 55:
                ended = [run.id for run in runs[(second - 5) * 2 : (second - 4) * 2]]
                await Run.filter(id__in=ended).update(status="planned_and_finished", event_count=11)
                await checks.catch_up()
            if second > 60 and not await Check.filter(next_at__not_isnull=True).exists():
                break
            time.pass_(1)
        assert not await Check.filter(failure__not_isnull=True).exists()
        assert {body["conclusion"] for body in hearing.checks.values()} == {"success"}
        assert len(hearing.checks) == 105 == len({body["name"] for body in hearing.checks.values()})
        assert hearing.shortest_gap >= 1
        # an aggregate each before any workspace: it is what is waited for
        assert len({name.count("/") for _, _, name in hearing.calls[:5]}) == 1
        assert len(hearing.calls) < 260, "progress is told together"
        assert second < 300


async def test_only_the_newest_is_told(aggregate: Check, time: Virtual) -> None:
    hearing = Hearing()
    with clock.using(time):
        time.moment = aggregate.wanted_at
        await checks.settle(aggregate)
        await send_all(hearing, time)
    assert [(call, name) for _, call, name in hearing.calls] == [("create", aggregate.name)]
    body = hearing.of_name(aggregate.name)
    assert (body["conclusion"], body["output"]["title"]) == ("success", "No affected workspaces")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", body["completed_at"])
    assert body["details_url"].endswith("/app/acme")
    told = await Check.get(id=aggregate.id)
    assert (told.sent_number, told.tries) == (told.wanted_number, 0)
    assert [told.failure, told.next_at] == [None, None]


async def test_several_workers_tell_each_thing_once(aggregate: Check, time: Virtual) -> None:
    hearing = Hearing()
    with clock.using(time):
        time.moment = aggregate.wanted_at
        for _ in range(3):
            await asyncio.gather(*(outbox.send(hearing.of) for _ in range(4)))
            time.pass_(1)
        await checks.settle(aggregate)
        for _ in range(3):
            await asyncio.gather(*(outbox.send(hearing.of) for _ in range(4)))
            time.pass_(1)
    assert [call for _, call, _ in hearing.calls] == ["create", "update"]


class Death(BaseException):
    """The worker's, in the middle of it."""


@pytest.mark.parametrize("how", [Unreachable("The connection was cut."), Death()])
async def test_a_creation_whose_answer_was_lost_is_not_made_again(
    aggregate: Check, time: Virtual, how: BaseException
) -> None:
    hearing = Hearing()

    def cut(call: str, moment: str) -> None:
        if moment == "after" and len(hearing.calls) == 1:
            raise how

    hearing.fault = cut
    with clock.using(time):
        time.moment = aggregate.wanted_at
        try:
            await outbox.send(hearing.of)
        except Death:
            # a dead worker lets nothing go
            await Pace.all().update(held_until=clock.now() + outbox.LEASE)
        assert (await Check.get(id=aggregate.id)).number is None
        await send_all(hearing, time)
    assert [call for _, call, _ in hearing.calls] == ["create", "update"]
    [number] = hearing.checks
    assert (await Check.get(id=aggregate.id)).number == number


async def test_a_check_that_github_does_not_have_is_made_at_the_second_try(aggregate: Check, time: Virtual) -> None:
    hearing = Hearing()

    def away(call: str, moment: str) -> None:
        if moment == "before" and clock.now() < aggregate.wanted_at + timedelta(seconds=20):
            raise Unreachable("GitHub answered 502.", not_before=aggregate.wanted_at + timedelta(seconds=20))

    hearing.fault = away
    with clock.using(time):
        time.moment = aggregate.wanted_at
        await outbox.send(hearing.of)
        assert (await Check.get(id=aggregate.id)).failure == "GitHub answered 502."
        await send_all(hearing, time)
    [(at, call, _)] = hearing.calls
    assert call == "create"
    assert at >= aggregate.wanted_at + timedelta(seconds=20)
    assert (await Check.get(id=aggregate.id)).failure is None


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_what_is_refused_once_is_told_all_the_same(aggregate: Check, time: Virtual) -> None:
    hearing = Hearing()
    answers = iter([404, 409, 422, None, 404])  # the last of them to the update

    def refuse(call: str, moment: str) -> None:
        if moment == "before" and (status := next(answers, None)):
            raise Refused(status, "No commit found for SHA")

    hearing.fault = refuse
    with clock.using(time):
        time.moment = aggregate.wanted_at
        await send_all(hearing, time)
        assert hearing.of_name(aggregate.name)["status"] == "queued"
        await checks.settle(aggregate)
        await send_all(hearing, time)
    assert hearing.of_name(aggregate.name)["conclusion"] == "success"
    assert [call for _, call, _ in hearing.calls] == ["create", "update"]
    assert (await Check.get(id=aggregate.id)).failure is None


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_what_is_refused_for_a_day_is_told_when_something_comes_for_its_commit(
    aggregate: Check, time: Virtual
) -> None:
    hearing, tries = Hearing(), 0
    taken = hearing.fault

    def refuse(call: str, moment: str) -> None:
        nonlocal tries
        tries += 1
        raise Refused(404, "Not Found")

    hearing.fault = refuse
    with clock.using(time):
        time.moment = (await checks.settle(aggregate)).wanted_at
        began = time.moment
        while (due := (await Check.get(id=aggregate.id)).next_at) is not None:
            time.moment = max(due, time.moment + outbox.BETWEEN)
            await outbox.send(hearing.of)
        assert outbox.GIVE_UP <= time.moment - began < outbox.GIVE_UP + outbox.LONGEST_WAIT_AFTER_NO
        assert 24 < tries < 48
        assert (await Check.get(id=aggregate.id)).failure == "GitHub refused it (404): Not Found"
        hearing.fault = taken
        repository = await Repository.get(id=aggregate.repository_id)
        organization = await Organization.get(id=aggregate.organization_id)
        assert (await checks.open_aggregate(repository, organization, SHA, REF)).id == aggregate.id
        await send_all(hearing, time)
    assert hearing.of_name(aggregate.name)["conclusion"] == "success"


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_a_day_without_github_is_waited_for(aggregate: Check, time: Virtual) -> None:
    hearing, tries = Hearing(), 0

    def away(call: str, moment: str) -> None:
        nonlocal tries
        tries += 1
        if tries < 60:
            raise Unreachable("GitHub answered 502.")

    hearing.fault = away
    with clock.using(time):
        time.moment = aggregate.wanted_at
        while (await Check.get(id=aggregate.id)).next_at is not None:
            time.pass_(outbox.LONGEST_WAIT.total_seconds())
            await outbox.send(hearing.of)
    assert [call for _, call, _ in hearing.calls] == ["create"]


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_of_two_attempts_that_github_has_not_heard_it_hears_the_later(aggregate: Check, time: Virtual) -> None:
    hearing = Hearing()

    def refuse(call: str, moment: str) -> None:
        raise Refused(404, "Not Found")

    taken, hearing.fault = hearing.fault, refuse
    with clock.using(time):
        time.moment = aggregate.wanted_at
        await checks.conclude_without_plans(aggregate, "failure", "The commit could not be planned")
        await outbox.send(hearing.of)
        hearing.fault = taken
        later = await checks.settle(await checks.begin_again(aggregate))
        assert later.attempt == 2
        await send_all(hearing, time)
    assert [call for _, call, _ in hearing.calls] == ["create"]
    assert hearing.of_name(aggregate.name)["conclusion"] == "success"


@pytest.mark.parametrize("granted", ["write", "read"])
async def test_without_the_permission_a_status_is_told_when_the_state_changes(
    aggregate: Check, time: Virtual, granted: str
) -> None:
    hearing = Hearing()

    def refuse(call: str, moment: str) -> None:
        if call != "status":
            raise Refused(403, "Resource not accessible by integration")

    hearing.fault = refuse
    await Installation.all().update(permissions={"checks": granted, "statuses": "write"})
    _, run = await _run_of(aggregate)
    [check] = await checks.open_for_runs([run], aggregate)
    with clock.using(time):
        time.moment = check.wanted_at + timedelta(seconds=1)
        await send_all(hearing, time)
        await Run.filter(id=run.id).update(status="planning", event_count=10)
        await checks.catch_up()
        await send_all(hearing, time)
        await Run.filter(id=run.id).update(status="errored", event_count=11)
        await checks.catch_up()
        await send_all(hearing, time)
    assert not hearing.checks
    told = [(one["state"], one["description"]) for one in hearing.statuses if one["context"] == check.name]
    assert told == [("pending", told[0][1]), ("failure", "The plan failed")]


async def test_nothing_is_asked_of_a_suspended_installation_for_long(aggregate: Check, time: Virtual) -> None:
    hearing = Hearing()
    await Installation.all().update(suspended_at=clock.now())

    def refuse(call: str, moment: str) -> None:
        raise Refused(403, "This installation has been suspended")

    hearing.fault = refuse
    with clock.using(time):
        time.moment = aggregate.wanted_at
        await outbox.send(hearing.of)
        row = await Check.get(id=aggregate.id)
        assert row.failure is not None
        assert "suspended" in row.failure
        assert row.next_at == clock.now() + outbox.LONGEST_WAIT
        time.pass_(outbox.GIVE_UP.total_seconds())
        await outbox.send(hearing.of)
        assert (await Check.get(id=aggregate.id)).next_at is None


# -- what is in it ---------------------------------------------------------------------------------------------------

SECRETS = ("hush-of-a-password", "hush-of-a-list", "hush-of-an-output")
HOSTILE = 'aws_x.a["`|<img src=x>@everyone\u202e\x1b[31m"]'


def shown() -> dict[str, Any]:
    """A plan as terraform shows it, to those who may see everything."""
    change = {
        "actions": ["update"],
        "before": {"password": SECRETS[0], "list": [SECRETS[1]], "name": "old"},
        "after": {"password": f"{SECRETS[0]}2", "list": [], "name": "</details>\n```\n# new @everyone"},
        "before_sensitive": {"password": True, "list": [True]},
        "after_sensitive": {"password": True, "list": []},
    }
    created = {"actions": ["create"], "after": {"x": 1.5}}
    output = {"actions": ["create"], "before": None, "after": SECRETS[2], "after_sensitive": True}
    return {
        "resource_changes": [
            {"address": HOSTILE, "mode": "managed", "change": change},
            {"address": "null_resource.costs", "mode": "managed", "change": created},
        ],
        "output_changes": {"key": output},
    }


async def _run_of(aggregate: Check, **given: Any) -> tuple[Workspace, Run]:
    organization = await Organization.get(id=aggregate.organization_id)
    workspace = await factories.make_workspace(organization, "network")
    return workspace, await factories.make_run(workspace, speculative=True, **given)


async def planned(aggregate: Check, document: dict[str, Any]) -> Check:
    """The check of a run whose plan's redacted JSON is *document*."""
    _, run = await _run_of(aggregate)
    [check] = await checks.open_for_runs([run], aggregate)
    await factories.plan(run)
    stored = await objects.put("plan-json-redacted", run.organization_id, json.dumps(document).encode())
    await stored.save(force_create=True)
    await Plan.filter(run_id=run.id).update(json_output_redacted_id=stored.id)
    return await Check.get(id=check.id)


ERROR = (
    b"\x1b[31m\xe2\x95\xb7\x1b[0m\n\x1b[31m\xe2\x94\x82\x1b[0m \x1b[1mError: \x1b[0mUnsupported `argument`\n"
    b"\x1b[31m\xe2\x94\x82\x1b[0m\n\x1b[31m\xe2\x94\x82\x1b[0m   on main.tf line 7, <b>token = *** here\n"
    b"\x1b[31m\xe2\x95\xb5\x1b[0m\n"
)
SENTENCE = "terraform plan failed; its log says why."


async def failed(aggregate: Check, sentence: str, *, timed_out: bool = False, restricted: bool = False) -> Check:
    """The check of a run whose plan ended with ERROR in its log."""
    _, run = await _run_of(aggregate)
    await Run.filter(id=run.id).update(is_restricted=restricted)
    [check] = await checks.open_for_runs([run], aggregate)
    await checks.settle(aggregate)
    planning = await start(run)
    await planning.write(b"Initializing...\n" + ERROR)
    await planning.fail(sentence, timed_out=timed_out)
    await checks.catch_up()
    return await Check.get(id=check.id)


async def test_a_failed_plan_says_its_first_error(aggregate: Check) -> None:
    check = await failed(aggregate, SENTENCE)
    body = await check_bodies.body_of(check)
    assert (body["conclusion"], body["output"]["title"]) == ("failure", "Error: Unsupported `argument`")
    block = "```\nError: Unsupported `argument`\n\n  on main.tf line 7, <b>token = *** here\n```"
    assert block in body["output"]["summary"]
    assert "terraform plan failed; its log says why." in body["output"]["summary"]


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
@pytest.mark.parametrize("why", ["public", "fork"])
async def test_no_word_of_a_failure_is_told_to_strangers(aggregate: Check, why: str) -> None:
    await Repository.filter(id=aggregate.repository_id).update(private=why != "public")
    body = await check_bodies.body_of(await failed(aggregate, "No hush.", restricted=why == "fork"))
    assert body["output"]["title"] == "The plan failed"
    assert not [word for word in ("Unsupported", "main.tf", "hush") if word in json.dumps(body)]


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_a_plan_that_took_too_long_timed_out_and_fails_its_organizations_check(aggregate: Check) -> None:
    sentence = "This plan took longer than it may, 2 h, and was interrupted. If it needs more time, ask."
    check = await failed(aggregate, sentence, timed_out=True)
    body = await check_bodies.body_of(check)
    assert body["conclusion"] == "timed_out"
    assert body["output"]["title"].startswith("This plan took longer than it may, 2 h")
    assert "Unsupported" not in body["output"]["summary"], "what it said of being interrupted is no cause"
    assert commit_statuses.body_of(body)["state"] == "failure"
    of_all = await Check.get(id=aggregate.id)
    assert (of_all.is_final, of_all.wanted["conclusion"]) == (True, "failure")


async def test_the_plan_is_shown_and_no_secret_of_it(aggregate: Check) -> None:
    check = await planned(aggregate, redacted(shown(), {}))
    body = await check_bodies.body_of(check)
    told = json.dumps(body, ensure_ascii=False)
    assert "hush" not in told
    assert body["output"]["title"] == "+1 ~1 -0"
    assert "1 to add, 1 to change, 0 to destroy" in body["output"]["summary"]
    text = body["output"]["text"]
    assert "null_resource.costs" in text
    assert "1.5" in text
    assert "<img" not in text
    assert '| ✏️ | ``aws_x.a["`\\|<img' in body["output"]["summary"]  # nothing means anything between such ticks
    assert not {"\u202e", "\x1b"} & set(told)
    outside = re.sub(r"(`{3,})diff\n.*?\n\1", "", text, flags=re.DOTALL)
    assert outside.count("<details>") == outside.count("</details>") == 2
    assert [action["identifier"] for action in body["actions"]] == ["plan_again"]
    assert body["details_url"].endswith(f"/app/acme/network/runs/{check.run_id}")


@pytest.mark.parametrize("how", ["public", "restricted"])
async def test_strangers_see_counts_only(aggregate: Check, how: str) -> None:
    check = await planned(aggregate, redacted(shown(), {}))
    if how == "public":
        await Repository.all().update(private=False)
    else:
        await Run.filter(id=check.run_id).update(is_restricted=True)
    output = (await check_bodies.body_of(check))["output"]
    assert output["title"] == "+1 ~1 -0"
    assert "text" not in output
    assert not {"aws_x", "null_resource", "key"} & set(re.findall(r"\w+", output["summary"]))


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_a_plan_of_thousands_fits(aggregate: Check) -> None:
    change = {"actions": ["create"], "before": None, "after": {"user_data": "é" * 5000}}
    entries = [{"address": f"a.b[{n}]", "mode": "managed", "change": change} for n in range(1500)]
    body = await check_bodies.body_of(await planned(aggregate, {"resource_changes": entries}))
    output = body["output"]
    assert output["title"] == "+1500 ~0 -0"
    assert "of 1500 resources shown" in output["text"]
    for part in ("summary", "text"):
        assert len(output[part]) <= 60_000
        assert len(output[part].encode()) <= 65_535


async def test_a_plan_that_cannot_be_read_ends_its_check_all_the_same(aggregate: Check) -> None:
    check = await planned(aggregate, {"resource_changes": []})
    run = await Run.get(id=check.run_id)
    broken = await objects.put("plan-json-redacted", run.organization_id, b'{"resource_changes": [{')
    await broken.save(force_create=True)
    await Plan.filter(run_id=run.id).update(json_output_redacted_id=broken.id)
    body = await check_bodies.body_of(check)
    assert (body["conclusion"], body["output"]["title"]) == ("success", "Changes")


async def test_a_failure_is_told_where_it_may_be(aggregate: Check) -> None:
    _, run = await _run_of(aggregate)
    [check] = await checks.open_for_runs([run], aggregate)
    sentence = "No worker may run `terraform` <b>here</b>"
    await Run.filter(id=run.id).update(status="errored", event_count=10, failure=sentence)
    await checks.catch_up()
    check = await Check.get(id=check.id)
    output = (await check_bodies.body_of(check))["output"]
    assert output["title"] == sentence
    assert "```\n" + sentence in output["summary"]
    await Repository.all().update(private=False)
    output = (await check_bodies.body_of(check))["output"]
    assert output["title"] == "The plan failed"
    assert "terraform" not in output["summary"].replace("Terraform 1.11.4", "")

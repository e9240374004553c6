"""A delivery that GitHub could not bring is found in GitHub's log and asked for again, or fetched, once."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from app import clock
from github_app import client, deliveries, delivery_log, redelivery
from github_app.models import Delivery, DeliveryLook, GitHubApp, LostDelivery
from tests.api import Client
from tests.github import messages
from tests.github.fake import world
from tests.integration.github.conftest import Acme
from tests.integration.github.scene import Scene, scene

__all__ = ["scene"]

LIST, ONE = "GET /app/hook/deliveries", "GET /app/hook/deliveries/{delivery_id}"
ASK = "POST /app/hook/deliveries/{delivery_id}/attempts"


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redelivery, "BETWEEN", 0.0)


async def look() -> DeliveryLook | None:
    """A look, as if the time for it had come."""
    now = clock.now()
    await DeliveryLook.all().update(next_at=now)
    await LostDelivery.all().update(next_at=now)
    await redelivery.look_due()
    return await DeliveryLook.get()


def push(acme: Acme) -> dict[str, object]:
    """About the commit that is on main."""
    return messages.push(acme.there, "refs/heads/main", messages.ZERO, acme.there.head("main") or "")


def asked(acme: Acme, operation: str) -> int:
    return len(acme.github.asked(operation))


async def bring(anonymous: Client, app: GitHubApp, delivery: world.Delivery) -> None:
    """What GitHub's servers do with one, a moment later."""
    response = await anonymous.request(
        "POST", f"//api/webhooks/github/{app.id}", headers=delivery.headers, content=delivery.body
    )
    delivery.status_code = response.status_code


async def test_what_was_lost_while_we_were_down_is_sent_again_and_starts_its_run(
    scene: Scene, anonymous: Client
) -> None:
    workspace = await scene.follow("network")
    lost = scene.installed.app.deliver("push", push(scene))
    await look()
    again = scene.installed.app.deliveries[-1]
    assert (asked(scene, ASK), again.guid, again.redelivery) == (1, lost.guid, True)
    await bring(anonymous, scene.app, again)
    await deliveries.process_waiting()
    assert len(await scene.runs(workspace)) == 1
    await look()
    await look()
    assert (asked(scene, ASK), asked(scene, ONE), await LostDelivery.all().count()) == (1, 0, 0)


async def test_what_is_here_what_was_heard_and_what_means_nothing_is_not_asked_for(
    acme: Acme, anonymous: Client
) -> None:
    there = acme.installed.app
    answer_lost = there.deliver("push", push(acme))  # we have it, and GitHub does not know
    await bring(anonymous, acme.app, answer_lost)
    answer_lost.status_code = 504
    there.deliver("push", push(acme)).status_code = 202  # heard, whoever heard it
    there.deliver("check_run", {"action": "created"})
    retried = there.deliver("push", push(acme))
    there.attempt(world.Delivery(**{**vars(retried), "number": next(acme.github.numbers), "redelivery": True}))
    there.deliveries[-1].status_code = 200
    there.deliver("push", push(acme), ago=timedelta(days=2))  # before the app was ours
    await look()
    assert (asked(acme, LIST), asked(acme, ASK), await LostDelivery.all().count()) == (1, 0, 0)


async def test_where_nothing_arrives_the_payload_is_fetched_and_then_each_one_at_once(scene: Scene) -> None:
    workspace = await scene.follow("network")
    scene.installed.app.deliver("push", push(scene))
    await look()
    await look()
    assert (asked(scene, ASK), asked(scene, ONE)) == (2, 0)
    found = await look()
    assert (asked(scene, ASK), asked(scene, ONE)) == (2, 1)
    await deliveries.process_waiting()
    assert len(await scene.runs(workspace)) == 1
    assert found is not None
    assert (found.trouble, found.next_at - clock.now() <= redelivery.OFTEN) == ("failed to connect to host", True)
    assert (await GitHubApp.get(id=scene.app.id)).heard_at is None, "nothing has arrived"

    scene.there.commit("main", {"main.tf": "# two\n"})
    second = scene.installed.app.deliver("push", push(scene))
    await look()
    assert asked(scene, ASK) == 2
    assert await Delivery.filter(guid=second.guid).exists()
    scene.installed.app.deliver("push", push(scene)).status_code = 202
    arrived = await look()
    assert arrived is not None
    assert arrived.unreached_at is None
    assert await Delivery.all().count() == 2, "each is stored once"


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
@pytest.mark.parametrize("fault", [404, 429, 502, "lost", "secondary-message"])
async def test_an_answer_that_is_none_loses_nothing(acme: Acme, fault: int | str) -> None:
    lost = acme.installed.app.deliver("push", push(acme))
    for method, where in (("GET", "deliveries"), ("POST", "attempts"), ("GET", f"deliveries/{lost.number}")):
        acme.github.fail(fault, where, method=method)
    for _ in range(8):
        await look()
        await patience_over(acme)
    assert [one.guid for one in await Delivery.all()] == [lost.guid]
    assert await LostDelivery.all().count() == 0
    assert all(one.times == 0 for one in acme.github.faults), "each fault has struck"


async def patience_over(acme: Acme) -> None:
    """GitHub's limits end."""
    (await client.of(acme.app.id))._limits.clear()


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_a_long_log_is_read_in_looks_that_go_on_where_the_last_one_was(
    acme: Acme, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redelivery, "MOST_PAGES", 1)
    monkeypatch.setattr(redelivery, "MOST_ASKED", 9)
    monkeypatch.setattr(delivery_log, "PAGE", 3)
    guids = {acme.installed.app.deliver("push", push(acme)).guid for _ in range(7)}
    noted = []
    for _ in range(3):
        row = await look()
        noted.append(await LostDelivery.all().count())
    assert noted == [3, 6, 7]
    assert {one.guid for one in await LostDelivery.all()} == guids
    assert row is not None
    assert (row.cursor, row.reading_from) == (None, None)
    assert row.seen_at is not None
    pages = [one.query.get("cursor") for one in acme.github.asked(LIST)]
    assert (pages[0], len(set(pages))) == (None, 3)


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_a_cursor_that_leads_nowhere_begins_the_look_anew(acme: Acme) -> None:
    await DeliveryLook.create(app_id=acme.app.id, next_at=clock.now(), cursor="v1_gone", reading_from=clock.now())
    lost = acme.installed.app.deliver("push", push(acme))
    acme.github.fail(422, "deliveries")
    await look()
    await look()
    assert [one.guid for one in await LostDelivery.all()] == [lost.guid]


async def test_workers_that_look_at_the_same_time_ask_once(acme: Acme) -> None:
    acme.installed.app.deliver("push", push(acme))
    await asyncio.gather(*(redelivery.look_due() for _ in range(4)))
    assert (asked(acme, LIST), asked(acme, ASK)) == (1, 1)


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_what_github_keeps_no_more_is_given_up(acme: Acme) -> None:
    lost = acme.installed.app.deliver("push", push(acme))
    await look()
    await LostDelivery.filter(guid=lost.guid).update(delivered_at=clock.now() - timedelta(days=4))
    await look()
    assert (asked(acme, ASK), await LostDelivery.all().count(), await Delivery.all().count()) == (1, 0, 0)

"""What GitHub delivers is stored once and before it is answered; what anybody else sends is not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from app import clock
from app.access.actors import SYSTEM
from app.errors import Invalid, NotFound
from app.secret import Secret
from github_app import apps, inbox, signatures, webhooks
from github_app.models import Delivery, DeliveryBody, GitHubApp
from tests.api import Client
from tests.github import examples
from tests.integration.github.conftest import WEBHOOK_SECRET, private_key

PUSH = json.dumps(examples.all_of_them()["push"][0]).encode()


async def deliver(
    client: Client, app: GitHubApp, body: Any = PUSH, *, secret: Any = WEBHOOK_SECRET, **headers: Any
) -> httpx2.Response:
    """As GitHub does it; a header given as None is left out."""
    signed = signatures.sign(body, secret) if isinstance(body, bytes) else None
    sent = {
        "content-type": "application/json",
        "x-github-event": "push",
        "x-github-delivery": str(uuid4()),
        "x-github-hook-installation-target-id": str(app.app_id),
        "x-hub-signature-256": signed,
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    sent = {name: value for name, value in sent.items() if value is not None}
    path = f"//api/webhooks/github/{app.id}"
    return await client.request("POST", path, headers=sent, content=body)


async def test_a_delivery_is_stored_and_then_answered(anonymous: Client, app: GitHubApp) -> None:
    response = await deliver(anonymous, app, x_github_delivery="72d3162e-cc78-11e3-81ab-4c9367dc0958")
    assert (response.status_code, response.content) == (202, b"")
    [stored] = await Delivery.all()
    assert (stored.guid, stored.event, stored.state) == ("72d3162e-cc78-11e3-81ab-4c9367dc0958", "push", "received")
    assert stored.repository_id == 186853002
    assert await inbox.body_of(stored) == PUSH
    assert (await GitHubApp.get(id=app.id)).heard_at == stored.received_at


async def test_nothing_of_it_lies_in_clear_in_the_database(anonymous: Client, app: GitHubApp) -> None:
    await deliver(anonymous, app)
    kept = await DeliveryBody.get()
    assert b"simple-tag" not in bytes(kept.sealed_body)
    assert WEBHOOK_SECRET.reveal().encode() not in bytes(app.sealed_webhook_secret)


async def test_the_same_delivery_is_stored_once_however_often_it_comes(anonymous: Client, app: GitHubApp) -> None:
    same = {"x_github_delivery": "the-same-guid"}
    answers = await asyncio.gather(*(deliver(anonymous, app, **same) for _ in range(8)))
    assert [answer.status_code for answer in answers] == [202] * 8
    assert await Delivery.all().count() == await DeliveryBody.all().count() == 1


async def test_one_that_failed_is_tried_again_when_it_comes_again(anonymous: Client, app: GitHubApp) -> None:
    for state, then in (("failed", "received"), ("done", "done"), ("ignored", "ignored")):
        await deliver(anonymous, app, x_github_delivery=f"guid-of-{state}")
        await Delivery.filter(guid=f"guid-of-{state}").update(state=state, tries=3)
        await deliver(anonymous, app, x_github_delivery=f"guid-of-{state}")
        assert (await Delivery.get(guid=f"guid-of-{state}")).state == then


async def test_what_has_ended_goes_after_a_month_and_what_waits_does_not(
    anonymous: Client, app: GitHubApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    for state, days in (("done", 31), ("failed", 90), ("received", 90), ("ignored", 1)):
        await deliver(anonymous, app, x_github_delivery=f"guid-of-{state}")
        received_at = clock.now() - timedelta(days=days)
        await Delivery.filter(guid=f"guid-of-{state}").update(state=state, received_at=received_at)
    monkeypatch.setattr(inbox, "AT_ONCE", 1)
    assert [await inbox.forget_old() for _ in range(3)] == [1, 1, 0]
    assert {delivery.state for delivery in await Delivery.all()} == {"received", "ignored"}
    assert await DeliveryBody.all().count() == 2


async def test_a_delivery_that_was_just_forgotten_is_not_found(anonymous: Client, app: GitHubApp) -> None:
    await deliver(anonymous, app)
    shown = await Delivery.get()
    await Delivery.all().delete()
    with pytest.raises(NotFound, match="not kept any more"):
        await inbox.body_of(shown)


@pytest.mark.parametrize(
    "headers",
    [
        {"x_hub_signature_256": None},
        {"x_hub_signature_256": ""},
        {"x_hub_signature_256": signatures.sign(PUSH, Secret("somebody else's secret"))},
        {"x_hub_signature_256": signatures.sign(PUSH + b" ", WEBHOOK_SECRET)},
        {"x_hub_signature_256": None, "x_hub_signature": "sha1=" + "0" * 40},
        {"x_hub_signature_256": signatures.sign(PUSH, WEBHOOK_SECRET).removeprefix("sha256=")},
        {"x_hub_signature_256": "sha256=" + "é" * 64},
    ],
)
async def test_without_a_good_signature_nothing_is_stored_and_nothing_told(
    anonymous: Client, app: GitHubApp, headers: dict[str, str | None]
) -> None:
    # httpx sends a text as ASCII only; others send bytes as they like.
    raw = {name: value.encode("latin-1") if value else value for name, value in headers.items()}
    response = await deliver(anonymous, app, **raw)
    assert (response.status_code, response.content) == (401, b"")
    assert not await Delivery.exists()


@pytest.mark.parametrize(
    ("headers", "word"),
    [
        ({"content_type": "application/x-www-form-urlencoded"}, "content type"),
        ({"content_type": None}, "content type"),
        ({"x_github_event": None}, "X-GitHub-Event"),
        ({"x_github_event": "x" * 65}, "X-GitHub-Event"),
        ({"x_github_delivery": None}, "X-GitHub-Delivery"),
        ({"x_github_delivery": "../../etc/passwd"}, "X-GitHub-Delivery"),
        ({"x_github_hook_installation_target_id": "99"}, "1234"),
    ],
)
async def test_a_signed_message_that_cannot_be_taken_says_why(
    anonymous: Client, app: GitHubApp, headers: dict[str, str | None], word: str
) -> None:
    response = await deliver(anonymous, app, **headers)
    assert response.status_code == 400
    assert word in response.text
    assert not await Delivery.exists()


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'{"installation":{"id":1e400}}', b'{"repository":{"id":'])
async def test_what_github_signed_is_kept_even_if_it_cannot_be_read(
    anonymous: Client, app: GitHubApp, body: bytes
) -> None:
    assert (await deliver(anonymous, app, body)).status_code == 202
    assert await inbox.body_of(await Delivery.get()) == body


async def test_numbers_that_no_column_holds_are_left_out(anonymous: Client, app: GitHubApp) -> None:
    assert (await deliver(anonymous, app, b'{"installation":{"id":9223372036854775808}}')).status_code == 202
    assert (await Delivery.get()).installation_id is None


async def test_the_longest_that_github_sends_is_taken_and_a_longer_one_is_not(
    anonymous: Client, app: GitHubApp
) -> None:
    longest = b'{"x":"' + b"x" * (25 * 1024**2 - 8) + b'"}'
    assert (await deliver(anonymous, app, longest)).status_code == 202
    assert len(await inbox.body_of(await Delivery.get())) == len(longest)
    too_long = b"x" * (webhooks.LIMIT.most + 1)
    refused = await deliver(anonymous, app, too_long)
    assert (refused.status_code, "26 MiB long at most (no setting changes that)" in refused.text) == (413, True)

    async def unannounced() -> AsyncIterator[bytes]:
        for _ in range(27):
            yield b"x" * 1024**2

    signed = {"x_hub_signature_256": signatures.sign(too_long, WEBHOOK_SECRET)}
    assert (await deliver(anonymous, app, unannounced(), **signed)).status_code == 413
    assert await Delivery.all().count() == 1


async def test_who_sends_too_slowly_keeps_no_room_from_others(
    anonymous: Client, app: GitHubApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "PATIENCE", 0.2)
    monkeypatch.setattr(
        webhooks, "_long_ones", asyncio.Semaphore(2)
    )  # it belongs to one loop, and each test has its own

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x"
            await asyncio.sleep(0.05)

    slow = {"x_hub_signature_256": signatures.sign(b"x", WEBHOOK_SECRET)}
    async with asyncio.timeout(60):
        answers = await asyncio.gather(*(deliver(anonymous, app, endless(), **slow) for _ in range(4)))
    assert [answer.status_code for answer in answers] == [408] * 4
    assert not await Delivery.exists()


async def test_an_app_that_is_not_ours_has_no_address_here(anonymous: Client, app: GitHubApp) -> None:
    other = GitHubApp(id="ghapp-0000000000000000", app_id=app.app_id)
    assert (await deliver(anonymous, other)).status_code == 404
    assert not await Delivery.exists()


async def test_two_secrets_are_good_until_the_old_one_is_forgotten(anonymous: Client, app: GitHubApp) -> None:
    new = Secret("the secret after the change")
    await apps.change_webhook_secret(SYSTEM, app, new)
    assert (await deliver(anonymous, app)).status_code == 202
    assert (await deliver(anonymous, app, secret=new)).status_code == 202
    await apps.forget_old_webhook_secret(SYSTEM, app)
    assert (await deliver(anonymous, app)).status_code == 401
    assert (await deliver(anonymous, app, secret=new)).status_code == 202


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"app_id": 0}, "app_id"),
        ({"app_id": 2**63}, "app_id"),
        ({"web_url": "https://github.com/acme"}, "web_url"),
        ({"web_url": "http://github.com"}, "web_url"),
        ({"web_url": "https://[::1"}, "web_url"),
        ({"web_url": "ftp://github.com"}, "web_url"),
        ({"web_url": ""}, "web_url"),
        ({"secrets": apps.Secrets(Secret("not a key"), WEBHOOK_SECRET)}, "private_key"),
        ({"secrets": apps.Secrets(Secret(""), WEBHOOK_SECRET)}, "private_key"),
        ({"secrets": apps.Secrets(private_key(), Secret(""))}, "webhook_secret"),
        ({"secrets": apps.Secrets(private_key(), Secret("short"))}, "webhook_secret"),
    ],
)
async def test_an_app_that_could_not_work_is_not_registered(
    app: GitHubApp, changes: dict[str, Any], field: str
) -> None:
    good = {"app_id": 2, "secrets": apps.Secrets(private_key(), WEBHOOK_SECRET)}
    with pytest.raises(Invalid) as refused:
        await apps.register(SYSTEM, **{**good, **changes})
    assert refused.value.field == field
    assert "PRIVATE" not in refused.value.sentence
    assert await GitHubApp.all().count() == 1


async def test_an_app_is_registered_once_a_host(app: GitHubApp) -> None:
    secrets = apps.Secrets(private_key(), WEBHOOK_SECRET)
    with pytest.raises(Invalid, match="registered already"):
        await apps.register(SYSTEM, app_id=app.app_id, secrets=secrets)
    server = await apps.register(SYSTEM, app_id=app.app_id, secrets=secrets, web_url="https://GHE.acme.example/")
    assert server.api_url == "https://ghe.acme.example/api/v3"
    resident = await apps.register(SYSTEM, app_id=app.app_id, secrets=secrets, web_url="https://acme.ghe.com")
    assert resident.api_url == "https://api.acme.ghe.com"
    assert apps.private_key(server) == private_key()

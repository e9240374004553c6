"""What a site admin sees of GitHub's deliveries, and replays."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from app import clock, links
from app.access.actors import SYSTEM
from app.secret import Secret
from app.settings import Settings
from github_app import apps, deliveries, inbox
from github_app.models import Delivery, DeliveryLook, GitHubApp
from github_app.pages import deliveries as pages
from tests import factories
from tests.github import rows
from tests.integration.web.conftest import Browser, Open, text
from tests.integration.web.test_github_apps import EVIL, PEM, SECRET

ONCE = pytest.mark.parametrize("parts", ["embedded"], indirect=True)


@pytest.fixture
async def admin(browse: Open, opened: Settings) -> Browser:
    return await browse(await factories.make_user("root", is_site_admin=True))


@pytest.fixture
async def app(opened: Settings) -> GitHubApp:
    secrets = apps.Secrets(Secret(PEM), Secret(SECRET))
    return await apps.register(SYSTEM, app_id=4711, secrets=secrets, slug="stateroom-acme")


async def came(app: GitHubApp, event: str, body: dict[str, object], **changes: object) -> Delivery:
    message = inbox.Message(f"guid-{await Delivery.all().count():08}", event, json.dumps(body).encode())
    delivery = await inbox.store(app, message)
    await Delivery.filter(id=delivery.id).update(**changes)
    await delivery.refresh_from_db()
    return delivery


@ONCE
async def test_an_empty_page_says_how_to_try_the_webhook(admin: Browser) -> None:
    assert "Make a GitHub App first" in text(await admin.get(links.GITHUB_DELIVERIES))
    secrets = apps.Secrets(Secret(PEM), Secret(SECRET))
    app = await apps.register(SYSTEM, app_id=4711, secrets=secrets)
    empty = text(await admin.get(links.GITHUB_DELIVERIES))
    assert "whose button “Redeliver” sends it again" in empty
    assert apps.webhook_url(app) in empty
    assert links.GITHUB_DELIVERIES in (await admin.get(links.GITHUB_APPS)).text


async def test_deliveries_are_listed_filtered_and_paged(
    admin: Browser, app: GitHubApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = await rows.make_repository(await rows.make_installation(app_id=app.id))
    await came(app, "push", {"repository": {"id": known.number}}, state="failed", reason=f"No {EVIL}.", tries=4)
    await came(app, "pull_request", {"action": "opened"}, state="done", reason="1 run queued.", tries=1)
    await came(app, "pull_request", {"action": "closed"}, state="ignored", reason="No workspace.", tries=1)
    page = await admin.get(links.GITHUB_DELIVERIES)
    shown = text(page)
    assert shown.index("pull_request.closed") < shown.index("pull_request.opened") < shown.index(known.full_name)
    assert "failed push" in shown
    assert "4 tries" in shown
    assert (EVIL in page.text, "alert(1)" in shown) == (False, True)
    assert page.text.count('<form class="above" method="post"') == 3, "the row's link lies over what is not above it"

    for query, has in (
        ("state=failed", {"push"}),
        ("event=pull_request", {"pull_request.opened", "pull_request.closed"}),
        ("event=pull_request.opened&state=done", {"pull_request.opened"}),
        ("event=pull_request.opened&state=failed", set()),
        ("state=nonsense&event=push", {"push"}),
        (f"event={EVIL}", set()),
        ("event=push&before=nonsense", {"push"}),
    ):
        found = await admin.get(f"{links.GITHUB_DELIVERIES}?{query}")
        listed = {
            name for name in ("push", "pull_request.opened", "pull_request.closed") if f">{name}</a>" in found.text
        }
        assert (found.status_code, listed) == (200, has), query
    assert "No such deliveries" in text(await admin.get(f"{links.GITHUB_DELIVERIES}?event=ping"))

    monkeypatch.setattr(pages, "PAGE", 2)
    first = await admin.get(f"{links.GITHUB_DELIVERIES}?event=&state=")
    onward = first.text.partition('class="btn btn-s" href="')[2].partition('"')[0].replace("&amp;", "&")
    rest = await admin.get(onward)
    assert (known.full_name in first.text, known.full_name in rest.text) == (False, True)
    assert "Older deliveries" not in rest.text


async def test_what_has_ended_is_replayed_once_and_what_waits_is_not(admin: Browser, app: GitHubApp) -> None:
    delivery = await came(app, "ping", {"zen": "hush hush"}, state="failed", reason="It went wrong.", tries=4)
    page = await admin.get(links.github_delivery(delivery.id))
    assert "It went wrong." in text(page)
    assert "hush hush" not in page.text
    assert "(a text of 9 characters)" in text(page)
    assert (await admin.post(f"{links.github_delivery(delivery.id)}/replay", {"form_token": "x"})).status_code == 403
    await delivery.refresh_from_db()
    assert delivery.state == "failed"

    done = await admin.post(f"{links.github_delivery(delivery.id)}/replay")
    assert (done.status_code, done.headers["location"]) == (303, links.github_delivery(delivery.id))
    again = await admin.post(f"{links.github_delivery(delivery.id)}/replay")
    assert again.status_code == 409
    assert "It waits to be processed" in text(again)
    await deliveries.process_waiting()
    await delivery.refresh_from_db()
    assert (delivery.state, delivery.tries, delivery.reason) == ("done", 1, "GitHub's deliveries arrive.")


@ONCE
async def test_a_button_that_was_dealt_with_is_pressed_at_github_again(admin: Browser, app: GitHubApp) -> None:
    click = await came(app, "check_run", {"action": "rerequested"}, state="done", reason="1 run queued.", tries=1)
    refused = await admin.post(f"{links.github_delivery(click.id)}/replay")
    assert (refused.status_code, "Press it again at GitHub" in text(refused)) == (409, True)
    assert "Replay" not in text(await admin.get(links.GITHUB_DELIVERIES))
    await Delivery.filter(id=click.id).update(state="failed")
    assert (await admin.post(f"{links.github_delivery(click.id)}/replay")).status_code == 303


@ONCE
async def test_that_deliveries_have_to_be_fetched_is_said(admin: Browser, app: GitHubApp) -> None:
    since = clock.now() - timedelta(hours=1)
    await DeliveryLook.create(app_id=app.id, next_at=since, unreached_at=since, trouble="failed to connect to host")
    assert "GitHub says of its last attempt: failed to connect to host" in text(
        await admin.get(links.GITHUB_DELIVERIES)
    )


@ONCE
async def test_nobody_else_sees_or_replays_a_delivery(browse: Open, app: GitHubApp) -> None:
    delivery = await came(app, "ping", {}, state="failed")
    here = links.github_delivery(delivery.id)
    outsider = await browse(await factories.make_user("mallory"))
    for path in (links.GITHUB_DELIVERIES, here):
        assert (await outsider.get(path)).status_code == 404
    assert (await outsider.post(f"{here}/replay")).status_code == 404
    assert (await (await browse(None)).get(here)).status_code == 303
    await delivery.refresh_from_db()
    assert delivery.state == "failed"
    admin = await browse(await factories.make_user("root", is_site_admin=True))
    assert (await admin.get(f"{links.GITHUB_DELIVERIES}/none")).status_code == 404

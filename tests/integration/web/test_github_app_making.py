"""Making an app at GitHub by the manifest flow, with a fake GitHub at the other end."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import timedelta
from html import unescape
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx2
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from app import clock, links
from app import settings as settings_module
from app.settings import Settings
from github_app import apps, client
from github_app.models import GitHubApp, GitHubAppSetup
from tests import factories
from tests.github.fake import GitHub, serving, world
from tests.integration.web.conftest import URL, Browser, Open, text

NEW = f"{links.GITHUB_APPS}/new"
CREATED = f"{links.GITHUB_APPS}/created"
ONCE = pytest.mark.parametrize("parts", ["embedded"], indirect=True)


@pytest.fixture(scope="module")
def github() -> Iterator[GitHub]:
    with serving() as served:
        yield served


@dataclass
class Maker:
    """A site admin with a browser that also goes to GitHub."""

    browser: Browser
    github: GitHub

    async def fill_in(self, owner: str = "acme-hub", **given: str) -> httpx2.Response:
        form = {"web_url": self.github.url, "owner": owner, "name": "Stateroom acme"} | given
        return await self.browser.post(NEW, form)

    async def press(self, shown: httpx2.Response, form: int = 0) -> httpx2.Response:
        """Press the button of a form, as the page has it, and the one of GitHub's page behind it."""
        base = self.github.url
        async with httpx2.AsyncClient() as http:
            while shown.status_code == 200:
                action, inside = re.findall(
                    r'<form method="post" action="([^"]+)"[^>]*>(.*?)</form>', shown.text, re.S
                )[form]
                fields = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', inside)
                sent = {name: unescape(value) for name, value in fields}
                address = unescape(action)
                shown = await http.post(base + address if address.startswith("/") else address, data=sent)
                form = 0
        return shown

    async def come_back(self, sent_back: httpx2.Response) -> httpx2.Response:
        assert sent_back.status_code == 302, sent_back.text
        return await self.browser.get(sent_back.headers["location"].removeprefix(URL))


@pytest.fixture
async def maker(browse: Open, opened: Settings, github: GitHub) -> AsyncIterator[Maker]:
    github.apps.clear()
    github.conversions.clear()
    github.is_old, github.makes_webhook_secrets = False, True
    yield Maker(await browse(await factories.make_user("root", is_site_admin=True)), github)
    github.faults.clear()
    await client.close()


async def test_an_app_is_made_at_github_and_known_here_with_its_secrets(maker: Maker) -> None:
    assert 'value="Stateroom stateroom.test"' in (await maker.browser.get(NEW)).text
    shown = await maker.fill_in()
    assert f"form-action 'self' {maker.github.url};" in shown.headers["content-security-policy"]
    assert "checks: write" in text(shown)
    made = await maker.come_back(await maker.press(shown))
    app = await GitHubApp.get()
    assert (made.status_code, made.headers["location"]) == (303, links.github_app(app.id))
    [there] = maker.github.apps.values()
    assert (app.app_id, app.slug, app.owner) == (there.number, "stateroom-acme", "acme-hub")
    assert there.webhook_url == f"{URL}/api/webhooks/github/{app.id}"
    assert there.permissions == {
        "metadata": "read",
        "contents": "read",
        "pull_requests": "read",
        "checks": "write",
        "merge_queues": "read",
    }
    assert set(there.events) == {"push", "pull_request", "check_run", "check_suite", "repository", "merge_group"}
    assert apps.private_key(app).reveal() == there.private_key
    assert [secret.reveal() for secret in apps.webhook_secrets(app)] == [there.webhook_secret]
    assert app.sealed_client_secret
    page = await maker.browser.get(made.headers["location"])
    assert f"{maker.github.url}/organizations/acme-hub/settings/apps/stateroom-acme" in page.text
    assert there.webhook_secret not in page.text
    assert maker.github.url not in page.headers["content-security-policy"]
    assert not await GitHubAppSetup.exists()
    checkup = text(await maker.browser.get(f"{links.github_app(app.id)}/checkup"))
    assert "Well webhook" in checkup
    assert "Fails installed The app is installed nowhere" in checkup


@ONCE
async def test_an_app_without_a_webhook_secret_is_given_one(maker: Maker) -> None:
    maker.github.makes_webhook_secrets = False
    await maker.come_back(await maker.press(await maker.fill_in(owner="")))
    app = await GitHubApp.get()
    [there] = maker.github.apps.values()
    assert app.is_secret_told
    assert app.owner == ""
    assert len(there.webhook_secret) == 64
    assert [secret.reveal() for secret in apps.webhook_secrets(app)] == [there.webhook_secret]


@ONCE
async def test_a_secret_that_github_was_not_told_is_told_by_a_button(maker: Maker) -> None:
    maker.github.makes_webhook_secrets = False
    maker.github.fail(500, "/app/hook/config", times=2)
    made = await maker.come_back(await maker.press(await maker.fill_in()))
    here = made.headers["location"]
    assert "No delivery is taken until it signs them" in text(await maker.browser.get(here))
    failed = await maker.browser.post(f"{here}/webhook-secret/renew")
    assert (failed.status_code, "GitHub answered 500" in text(failed)) == (502, True)
    assert (await maker.browser.post(f"{here}/webhook-secret/renew")).headers["location"] == here
    app = await GitHubApp.get()
    [there] = maker.github.apps.values()
    assert [secret.reveal() for secret in apps.webhook_secrets(app)] == [there.webhook_secret]
    assert "GitHub does not have the webhook secret" not in text(await maker.browser.get(here))

    before = there.webhook_secret
    await maker.browser.post(f"{here}/webhook-secret/renew")
    await app.refresh_from_db()
    assert there.webhook_secret != before
    assert [secret.reveal() for secret in apps.webhook_secrets(app)] == [there.webhook_secret, before]


@ONCE
async def test_a_key_is_changed_for_one_that_github_takes(maker: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    here = (await maker.come_back(await maker.press(await maker.fill_in()))).headers["location"]
    app = await GitHubApp.get()
    before = apps.private_key(app).reveal()
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    refused = await maker.browser.post(f"{here}/private-key", {"private_key": pem})
    assert refused.status_code == 422
    assert "The key that was here before is kept" in refused.text.partition('id="private_key-err"')[2]
    await app.refresh_from_db()
    assert apps.private_key(app).reveal() == before
    monkeypatch.setattr(world.App, "public_key", other.public_key())
    await GitHubApp.filter(id=app.id).update(refreshed_at=clock.now())
    changed = await maker.browser.post(f"{here}/private-key", {"private_key": pem})
    assert changed.headers["location"] == f"{here}/checkup"
    assert "Well key" in text(await maker.browser.get(f"{here}/checkup"))
    assert (await GitHubApp.get()).refreshed_at is None

    assert (await maker.browser.post(f"{here}/client-secret", {"client_secret": " "})).status_code == 422
    sealed = app.sealed_client_secret
    await maker.browser.post(f"{here}/client-secret", {"client_secret": "another"})
    await app.refresh_from_db()
    assert app.sealed_client_secret not in (None, sealed)


@ONCE
async def test_an_old_enterprise_server_makes_it_without_merge_queues(maker: Maker) -> None:
    maker.github.is_old = True
    shown = await maker.fill_in()
    refused = await maker.press(shown)
    assert (refused.status_code, "merge_group, merge_queues is not" in refused.text) == (422, True)
    await maker.come_back(await maker.press(shown, form=1))
    [there] = maker.github.apps.values()
    assert "merge_queues" not in there.permissions
    assert "merge_group" not in there.events
    assert await GitHubApp.all().count() == 1
    assert "without merge queues" not in text(await maker.fill_in(web_url="https://github.com"))


@ONCE
async def test_a_state_is_good_once_in_its_session_within_the_hour(
    maker: Maker, browse: Open, github: GitHub, alice: Browser
) -> None:
    other = await browse(await factories.make_user("other", is_site_admin=True))
    back = (await maker.press(await maker.fill_in())).headers["location"].removeprefix(URL)
    code, state = (parse_qs(urlsplit(back).query)[name][0] for name in ("code", "state"))

    async def refused(browser: Browser, **query: str) -> httpx2.Response:
        page = await browser.get(f"{CREATED}?{urlencode(query)}")
        assert page.status_code == 409, query
        assert "belongs to nothing that this session began" in text(page)
        assert "press Delete GitHub App" in text(page)
        return page

    for wrong in ({}, {"code": code}, {"code": code, "state": state[:-1]}, {"code": code, "state": "é" * 40}):
        await refused(maker.browser, **wrong)
    await refused(other, code=code, state=state)
    assert (await alice.get(back)).status_code == 404
    await GitHubAppSetup.all().update(created_at=clock.now() - timedelta(minutes=61))
    await refused(maker.browser, code=code, state=state)
    await GitHubAppSetup.all().update(created_at=clock.now())
    assert github.conversions  # nobody has used the code
    assert (await maker.browser.get(back)).status_code == 303
    await refused(maker.browser, code=code, state=state)
    assert await GitHubApp.all().count() == 1


@ONCE
async def test_a_failed_exchange_says_what_to_do(maker: Maker) -> None:
    for fault in (404, 422, 500, "nothing", "half", "primary"):
        sent_back = await maker.press(await maker.fill_in())
        maker.github.fail(fault, "/conversions")
        failed = await maker.come_back(sent_back)
        assert failed.status_code == 502, fault
        assert f"{maker.github.url}/organizations/acme-hub/settings/apps" in failed.text
        assert "Begin again" in text(failed)
        assert parse_qs(urlsplit(sent_back.headers["location"]).query)["code"][0] not in failed.text
    assert not await GitHubApp.exists()


@ONCE
async def test_an_app_that_cannot_be_stored_says_what_to_do(maker: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world.App, "private_key", "-----BEGIN NONSENSE-----")
    failed = await maker.come_back(await maker.press(await maker.fill_in()))
    assert "could not be stored here: The private key is" in text(failed)
    assert "NONSENSE" not in failed.text
    assert not await GitHubApp.exists()


@ONCE
async def test_what_is_wrong_in_the_form_is_said_beside_its_field(maker: Maker, alice: Browser) -> None:
    for field, value in (("web_url", "https://x/y"), ("owner", "a/b"), ("name", "n" * 35), ("name", "")):
        refused = await maker.fill_in(**{field: value})
        assert refused.status_code == 422
        assert f'id="{field}-err"' in refused.text
    assert (await alice.get(NEW)).status_code == 404
    assert (await alice.post(NEW, {"web_url": "https://github.com", "owner": "", "name": "x"})).status_code == 404
    assert not await GitHubAppSetup.exists()


@ONCE
async def test_an_address_that_github_cannot_reach_is_said_first(
    maker: Maker, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reached_at(url: str) -> None:
        changed = settings.model_copy(update={"webhook_url": url})
        monkeypatch.setattr(settings_module, "current", lambda: changed)

    for url in ("https://localhost:8443", "https://127.0.0.2", "https://[::1]:8443", "https://x.localhost"):
        reached_at(url)
        page = await maker.browser.get(NEW)
        assert "STATEROOM_EXTERNAL_URL" in text(page)
        assert "Go on" not in text(page)
        assert (await maker.fill_in()).status_code == 422
    reached_at("https://10.0.0.7")
    assert "from the internet" in text(await maker.fill_in(web_url="https://github.com"))
    shown = await maker.fill_in()
    manifest = json.loads(unescape(shown.text.partition('name="manifest" value="')[2].partition('"')[0]))
    assert manifest["hook_attributes"]["url"].startswith("https://10.0.0.7/api/webhooks/github/ghapp-")
    assert manifest["redirect_url"] == URL + CREATED

"""What a site admin sees and does of the GitHub Apps."""

from __future__ import annotations

from pathlib import Path

import httpx2
import pytest

from app import clock, links
from app.access.actors import SYSTEM
from app.organizations.models import Organization
from app.secret import Secret
from app.settings import Settings
from app.vcs.models import InstallationLink
from github_app import apps
from github_app.models import GitHubApp
from tests import factories
from tests.github import rows
from tests.github.fake.world import GitHub
from tests.integration.web.conftest import Browser, Open, text

EVIL = "<script>alert(1)</script>"
PEM = GitHub(Path()).add_app(1).private_key
SECRET = "0123456789abcdef"
FORM = {
    "web_url": "https://github.com",
    "app_id": "4711",
    "client_id": "Iv23ctSTATEROOM",
    "slug": "stateroom-acme",
    "private_key": PEM,
    "webhook_secret": SECRET,
}
ONCE = pytest.mark.parametrize("parts", ["embedded"], indirect=True)


def beside(field: str, page: httpx2.Response) -> str:
    """The sentence that stands at a field."""
    return page.text.partition(f'id="{field}-err"')[2].partition("</span>")[0]


@pytest.fixture
async def admin(browse: Open, opened: Settings) -> Browser:
    return await browse(await factories.make_user("root", is_site_admin=True))


@pytest.fixture
async def app(opened: Settings) -> GitHubApp:
    secrets = apps.Secrets(Secret(PEM), Secret(SECRET))
    return await apps.register(SYSTEM, app_id=4711, secrets=secrets, slug="stateroom-acme")


async def test_an_existing_app_is_registered_and_then_shown(admin: Browser) -> None:
    empty = await admin.get(links.GITHUB_APPS)
    assert "No app yet" in text(empty)
    assert "Register an existing app" in text(empty)
    assert "App ID" in text(await admin.get(f"{links.GITHUB_APPS}/existing"))

    made = await admin.post(f"{links.GITHUB_APPS}/existing", FORM)
    app = await GitHubApp.get()
    assert (made.status_code, made.headers["location"]) == (303, f"{links.github_app(app.id)}/checkup")
    shown = text(await admin.get(links.github_app(app.id)))
    assert f"https://stateroom.test/api/webhooks/github/{app.id}" in shown
    assert "GitHub has not reached this server yet" in shown
    assert "The app is installed nowhere yet" in shown
    assert apps.private_key(app).reveal() == PEM
    assert "stateroom-acme at github.com Installed nowhere yet no delivery yet" in text(
        await admin.get(links.GITHUB_APPS)
    )


@ONCE
async def test_what_is_wrong_is_said_beside_its_field(admin: Browser) -> None:
    for field, value, sentence in (
        ("web_url", EVIL, "This is the address of a GitHub"),
        ("web_url", "http://github.com", "over https only"),
        ("web_url", f"https://{'a' * 300}.ghe.com", "This is the address of a GitHub"),
        ("app_id", "0", "An app id is the number"),
        ("app_id", "٣", "An app id is the number"),
        ("app_id", "9" * 19, "An app id is the number"),
        ("client_id", EVIL, "A client id is"),
        ("slug", "s" * 200, "A slug is"),
        ("private_key", "-----BEGIN RSA PRIVATE KEY-----", "an RSA key without a passphrase"),
        ("webhook_secret", "short", "at least 16 characters"),
    ):
        refused = await admin.post(f"{links.GITHUB_APPS}/existing", FORM | {field: value})
        assert refused.status_code == 422, field
        assert sentence in beside(field, refused), field
        assert 'value="Iv23ctSTATEROOM"' in refused.text or field == "client_id"
        assert not any(told in refused.text for told in (SECRET, PEM[40:80], EVIL))
    assert not await GitHubApp.exists()


@ONCE
async def test_an_app_is_registered_once(admin: Browser, app: GitHubApp) -> None:
    again = await admin.post(f"{links.GITHUB_APPS}/existing", FORM)
    assert again.status_code == 422
    assert "is registered already" in beside("app_id", again)
    assert await GitHubApp.all().count() == 1


@ONCE
async def test_the_page_says_where_the_app_is_installed_and_who_may_use_it(
    admin: Browser, app: GitHubApp, organization: Organization
) -> None:
    used = await rows.make_installation(app_id=app.id)
    await InstallationLink.create(installation=used, organization=organization, created_at=clock.now())
    suspended = await rows.make_installation(app_id=app.id, suspended_at=clock.now())
    gone = await rows.make_installation(app_id=app.id, deleted_at=clock.now())
    await GitHubApp.filter(id=app.id).update(heard_at=clock.now())
    shown = text(await admin.get(links.github_app(app.id)))
    assert "Used by acme" in shown
    assert f"{suspended.account_login} is suspended" in shown
    assert gone.account_login not in shown
    assert "has not reached this server" not in shown
    listed = text(await admin.get(links.GITHUB_APPS))
    assert f"Installed in {used.account_login}, {suspended.account_login} first delivery" in listed


@ONCE
async def test_two_webhook_secrets_are_good_while_one_is_changed(admin: Browser, app: GitHubApp) -> None:
    here = links.github_app(app.id)
    short = await admin.post(f"{here}/webhook-secret", {"webhook_secret": "short"})
    assert (short.status_code, "at least 16 characters" in short.text) == (422, True)
    assert (await admin.post(f"{here}/webhook-secret", {"webhook_secret": "f" * 16})).headers["location"] == here
    shown = text(await admin.get(here))
    assert "Two are good now" in shown
    assert "Another new one takes the place of the old one, and what that signs is refused at once" in shown
    await app.refresh_from_db()
    assert [secret.reveal() for secret in apps.webhook_secrets(app)] == ["f" * 16, SECRET]

    assert "that the old webhook secret signs?" in text(await admin.get(f"{here}/webhook-secret/forget"))
    await admin.post(f"{here}/webhook-secret/forget")
    await app.refresh_from_db()
    assert [secret.reveal() for secret in apps.webhook_secrets(app)] == ["f" * 16]
    assert "Two are good now" not in text(await admin.get(here))


@ONCE
async def test_nobody_else_learns_that_there_is_an_app(alice: Browser, nobody: Browser, app: GitHubApp) -> None:
    here = links.github_app(app.id)
    looks = (
        links.GITHUB_APPS,
        f"{links.GITHUB_APPS}/existing",
        here,
        f"{here}/checkup",
        f"{here}/webhook-secret/forget",
    )
    for path in looks:
        assert (await alice.get(path)).status_code == 404
        assert (await nobody.get(path)).headers["location"].startswith("/login")
    acts = [f"{here}/{part}" for part in ("private-key", "client-secret", "webhook-secret", "webhook-secret/renew")]
    acts += [f"{links.GITHUB_APPS}/existing", f"{here}/webhook-secret/forget"]
    for path in acts:
        assert (await alice.post(path, FORM)).status_code == 404
    assert await GitHubApp.all().count() == 1
    assert "GitHub Apps" not in text(await alice.get("/app/settings/tokens"))


@ONCE
async def test_an_app_that_is_not_there_is_not_found(admin: Browser) -> None:
    for app_id in ("ghapp-0000000000000000", "x", "%00", "a" * 500):
        assert (await admin.get(f"{links.GITHUB_APPS}/{app_id}")).status_code == 404

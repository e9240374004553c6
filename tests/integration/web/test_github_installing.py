"""Who is who at GitHub, and which organization may use an installation: by pages, with a fake GitHub behind them."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from html import unescape
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx2
import pytest

from app import links
from app.organizations.models import Organization
from app.settings import Settings
from app.vcs.models import Installation, InstallationLink
from github_app import client
from github_app.models import GitHubApp, GitHubAuthorization, LinkedAccount
from tests import factories
from tests.github import connected
from tests.github.fake import GitHub, serving, world
from tests.integration.web.conftest import URL, Browser, Open, text

ONCE = pytest.mark.parametrize("parts", ["embedded"], indirect=True)
HERE, SETUP, CALLBACK = links.GITHUB_ACCOUNTS, links.GITHUB_SETUP, links.GITHUB_CALLBACK


@pytest.fixture(scope="module")
def github() -> Iterator[GitHub]:
    with serving() as served:
        yield served


@dataclass
class There:
    """An app, known here, that is installed in an organization at GitHub with a member called octocat."""

    github: GitHub
    app: world.App
    installed: world.Installation
    ours: GitHubApp

    async def signs_in(self, browser: Browser, login: str, form: dict[str, str] | None = None) -> str:
        """Press the button here, sign in there: the address that GitHub sends back to."""
        going = await browser.post(f"{HERE}/{self.ours.id}/link", form)
        assert going.status_code == 200, text(going)
        found = re.search(r'<a class="btn btn-main" href="([^"]+)"', going.text)
        assert found is not None
        address = urlsplit(unescape(found[1]))
        assert f"{address.scheme}://{address.netloc}{address.path}" == f"{self.github.url}/login/oauth/authorize"
        asked = {name: values[0] for name, values in parse_qs(address.query).items()}
        assert asked["redirect_uri"] == URL + CALLBACK
        code = self.github.sign_in(
            self.app, login, redirect_uri=asked["redirect_uri"], challenge=asked["code_challenge"]
        )
        return f"{CALLBACK}?{urlencode({'code': code, 'state': asked['state']})}"


@pytest.fixture
async def there(opened: Settings, github: GitHub) -> AsyncIterator[There]:
    number = next(github.numbers)
    app = github.add_app(number)
    installed = app.install(f"hub-{number}")
    github.members[installed.account.login] = {"octocat"}
    ours = await connected.register(app)
    yield There(github, app, installed, ours)
    await client.close()


@pytest.fixture
async def admin(browse: Open, opened: Settings) -> Browser:
    return await browse(await factories.make_user("root", is_site_admin=True))


async def test_an_account_is_linked_by_signing_in_and_unlinked(alice: Browser, there: There) -> None:
    assert "not linked" in text(await alice.get(HERE))
    back = await there.signs_in(alice, "octocat")
    assert (await alice.get(back)).headers["location"] == HERE
    assert "octocat, linked just now" in text(await alice.get(HERE))
    assert not await GitHubAuthorization.exists()
    again = await alice.get(back)
    assert (again.status_code, "belongs to no sign-in" in text(again)) == (409, True)
    assert not await InstallationLink.exists()
    assert "Unlink your account" in text(await alice.get(f"{HERE}/{there.ours.id}/unlink"))
    assert (await alice.post(f"{HERE}/{there.ours.id}/unlink")).headers["location"] == HERE
    assert not await LinkedAccount.exists()


@ONCE
async def test_what_comes_back_is_taken_in_the_session_that_began_alone(
    alice: Browser, stranger: Browser, there: There
) -> None:
    back = await there.signs_in(alice, "octocat")
    assert (await stranger.get(back)).status_code == 409
    for state in ("", "x", "é" * 30, "A" * 43):
        assert (await alice.get(f"{CALLBACK}?{urlencode({'code': 'x', 'state': state})}")).status_code == 409
    assert (await alice.get(back)).status_code == 303
    state = parse_qs(urlsplit(await there.signs_in(stranger, "octocat")).query)["state"][0]
    wrong = await stranger.get(f"{CALLBACK}?{urlencode({'code': 'nonsense', 'state': state})}")
    assert (wrong.status_code, "does not take the code" in text(wrong)) == (422, True)
    state = parse_qs(urlsplit(await there.signs_in(stranger, "octocat")).query)["state"][0]
    denied = await stranger.get(f"{CALLBACK}?{urlencode({'error': 'access_denied', 'state': state})}")
    assert (denied.status_code, "refused there" in text(denied)) == (403, True)
    assert await LinkedAccount.all().count() == 1


@ONCE
async def test_a_member_lets_an_organization_use_what_they_see_at_github(
    alice: Browser, there: There, organization: Organization
) -> None:
    query = {"installation_id": str(there.installed.number), "setup_action": "install", "state": there.ours.id}
    with_code = await alice.get(f"{CALLBACK}?{urlencode({**query, 'code': 'x'})}")
    assert with_code.headers["location"] == f"{SETUP}?{urlencode(query)}"
    arrived = await alice.get(with_code.headers["location"])
    assert there.installed.account.login not in arrived.text  # nobody has proved anything yet
    form = {"installation": str(there.installed.number), "organization": "acme"}
    assert (await alice.get(await there.signs_in(alice, "octocat", form))).headers["location"] == HERE
    link = await InstallationLink.get().prefetch_related("installation")
    assert (link.organization_id, link.installation.number) == (organization.id, there.installed.number)
    assert f"acme the repositories of {there.installed.account.login}" in text(await alice.get(HERE))

    assert "no more?" in text(await alice.get(f"{HERE}/links/{link.id}/remove"))
    assert (await alice.post(f"{HERE}/links/{link.id}/remove")).headers["location"] == HERE
    assert not await InstallationLink.exists()
    by_name = {"account": there.installed.account.login.upper(), "organization": "acme"}
    await alice.get(await there.signs_in(alice, "octocat", by_name))
    assert await InstallationLink.all().count() == 1


@ONCE
async def test_an_installation_of_others_is_linked_to_nobody(
    alice: Browser, stranger: Browser, there: There, organization: Organization
) -> None:
    known = await connected.know_installation(there.ours, there.installed)
    number = str(there.installed.number)
    for form in (
        {"installation": number},
        {"account": known.account_login},
        {"account": "nobody"},
        {"installation": "x"},
    ):
        refused = await alice.get(await there.signs_in(alice, "hubot", {**form, "organization": "acme"}))
        assert (refused.status_code, "sees no such installation" in text(refused)) == (403, True)
    assert not await InstallationLink.exists()
    assert (await stranger.post(f"{HERE}/{there.ours.id}/link", {"organization": "acme"})).status_code == 404
    assert (await alice.post(f"{HERE}/{there.ours.id}/link", {"organization": "acme"})).status_code == 422
    link = await connected.link(known, organization)
    for path in (f"{HERE}/links/{link.id}/remove", f"{HERE}/links/x/remove"):
        assert (await stranger.get(path)).status_code == 404
        assert (await stranger.post(path)).status_code == 404
    admin_only = f"{links.github_app(there.ours.id)}"
    for path in ("refresh", f"installations/{known.id}/link", f"links/{link.id}"):
        assert (await alice.post(f"{admin_only}/{path}", {"organization": "acme"})).status_code == 404
    assert await InstallationLink.all().count() == 1


@ONCE
async def test_a_site_admin_comes_back_and_links(admin: Browser, there: There, organization: Organization) -> None:
    page = links.github_app(there.ours.id)
    number = there.installed.number
    for state in (f"&state={there.ours.id}", ""):  # the second: installed from GitHub's side
        arrived = await admin.get(f"{SETUP}?installation_id={number}&setup_action=install{state}")
        assert arrived.headers["location"] == f"{page}#inst-h"
    known = await Installation.get(app_id=there.ours.id)
    assert known.account_login in text(await admin.get(page))
    assert (await admin.post(f"{page}/installations/{known.id}/link", {"organization": "nobody"})).status_code == 404
    linked = await admin.post(f"{page}/installations/{known.id}/link", {"organization": "acme"})
    assert linked.headers["location"] == f"{page}#inst-h"
    assert f"acme may use {known.account_login}" in text(await admin.get(page))
    link = await InstallationLink.get()
    await admin.post(f"{page}/links/{link.id}", {"everyone": "no"})
    await link.refresh_from_db()
    assert link.everyone is False
    assert (await admin.post(f"{HERE}/links/{link.id}/remove")).headers["location"] == page
    assert not await InstallationLink.exists()


@ONCE
async def test_what_is_no_installation_is_said(admin: Browser, alice: Browser, there: There) -> None:
    assert (await admin.get(f"{SETUP}?installation_id=999999999&state={there.ours.id}")).status_code == 404
    for query in ("installation_id=x", "installation_id=1&state=ghapp-0000000000000000", ""):
        assert (await admin.get(f"{SETUP}?{query}")).headers["location"] == links.GITHUB_APPS
        assert (await alice.get(f"{SETUP}?{query}")).headers["location"] == HERE
    assert "Waiting for approval" in text(await alice.get(f"{SETUP}?setup_action=request&state={there.ours.id}"))
    there.github.fail(500, "/app/installations", times=9)
    away = await admin.post(f"{links.github_app(there.ours.id)}/refresh")
    there.github.faults.clear()
    assert away.status_code == 503
    await admin.post(f"{links.github_app(there.ours.id)}/refresh")
    assert await Installation.filter(number=there.installed.number).exists()


@ONCE
async def test_an_app_without_a_client_secret_signs_nobody_in(alice: Browser, there: There) -> None:
    await GitHubApp.filter(id=there.ours.id).update(sealed_client_secret=None)
    assert "no GitHub App here through which one could sign in" in text(await alice.get(HERE))
    refused: httpx2.Response = await alice.post(f"{HERE}/{there.ours.id}/link")
    assert (refused.status_code, "a site admin has to enter its client secret" in text(refused)) == (422, True)

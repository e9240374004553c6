"""`stateroom doctor github`, and the page that tells the same."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from app import clock, links
from app.organizations.models import Organization
from app.vcs.models import Installation, InstallationLink
from github_app import apps, examination
from github_app.examination import Finding
from github_app.models import DeliveryLook, GitHubApp
from tests import factories
from tests.github import rows
from tests.integration.cli.commands import stateroom
from tests.integration.github.conftest import Acme
from tests.services.parts import Parts

#: Nothing here depends on the parts.
pytestmark = pytest.mark.parametrize("parts", ["embedded"], indirect=True)


async def findings(acme: Acme) -> dict[str, list[Finding]]:
    found: dict[str, list[Finding]] = {}
    for one in await examination.examine(acme.app):
        found.setdefault(one.subject, []).append(one)
    return found


async def worst(acme: Acme, subject: str) -> Finding:
    return next(one for one in (await findings(acme))[subject] if one.verdict != "ok")


async def linked(acme: Acme) -> Organization:
    """All that an app needs."""
    organization = await factories.make_organization("acme")
    await InstallationLink.create(installation=acme.installation, organization=organization, created_at=clock.now())
    acme.installed.app.webhook_url = apps.webhook_url(acme.app)
    await GitHubApp.filter(id=acme.app.id).update(heard_at=clock.now())
    await acme.app.refresh_from_db()
    return organization


async def test_a_working_app_is_well(acme: Acme) -> None:
    await linked(acme)
    found = await findings(acme)
    assert {one.verdict for several in found.values() for one in several} == {"ok"}
    assert found["installed"][0].text.endswith("used by acme, 0 connected workspaces")
    assert "sees 1 (selected repositories); 4" in found["limits"][0].text
    kept = await GitHubApp.get(id=acme.app.id)
    assert kept.permissions == acme.installed.app.permissions
    assert kept.html_url.endswith("/apps/stateroom-test")


async def test_a_key_that_github_does_not_take_is_all_there_is_to_say(acme: Acme) -> None:
    del acme.github.apps[acme.app.app_id]
    [finding] = await examination.examine(acme.app)
    assert (finding.subject, finding.verdict) == ("key", "failed")
    assert "the key belongs to another app" in finding.text
    acme.github.fail("nothing", "/app")
    [finding] = await examination.examine(acme.app)
    assert "could not be asked" in finding.text


async def test_clocks_that_differ_are_told_before_they_hurt(acme: Acme) -> None:
    acme.github.clock_ahead = timedelta(seconds=-40)
    finding = await worst(acme, "clock")
    assert "ahead of GitHub's" in finding.text
    acme.github.clock_ahead = timedelta(minutes=-2)
    [refused] = await examination.examine(acme.app)
    assert "clock is 120 seconds ahead" in refused.text.replace("119", "120").replace("121", "120")


async def test_what_the_app_lacks_is_told_with_what_does_not_work(acme: Acme) -> None:
    there = acme.installed.app
    there.permissions = {"metadata": "read", "checks": "read", "contents": "write"}
    there.events = ("push",)
    found = await findings(acme)
    assert [(one.verdict, one.text.partition(" is ")[0]) for one in found["permission"]] == [
        ("note", "pull_requests: read"),
        ("note", "checks: write"),
        ("note", "merge_queues: read"),
    ]
    assert "pull_request is not subscribed to" in found["event"][0].text
    del there.permissions["contents"]
    assert (await worst(acme, "permission")).verdict == "failed"


async def test_deliveries_that_cannot_arrive_are_told(acme: Acme) -> None:
    acme.installed.app.webhook_url = "https://elsewhere.test/"
    await GitHubApp.filter(id=acme.app.id).update(is_secret_told=False)
    finding = await worst(acme, "webhook")
    assert finding.verdict == "failed"
    assert f"delivers to https://elsewhere.test/ and not to {apps.webhook_url(acme.app)}" in finding.text
    assert "None has come yet" in (await worst(acme, "deliveries")).text
    now = clock.now()
    await DeliveryLook.create(app_id=acme.app.id, next_at=now, unreached_at=now, trouble="failed to connect to host")
    assert "(failed to connect to host); they are fetched" in (await worst(acme, "deliveries")).text


async def test_each_installation_says_what_it_waits_for(acme: Acme) -> None:
    assert "no organization here may use it" in (await worst(acme, "installed")).text
    await linked(acme)
    acme.installed.permissions = {"metadata": "read", "contents": "read"}
    assert "has not accepted pull_requests: read, checks: write" in (await worst(acme, "installed")).text
    acme.installed.suspended_at = clock.now()
    assert "suspended since" in (await worst(acme, "installed")).text
    acme.installed.suspended_at = None
    await Installation.filter(id=acme.installation.id).update(deleted_at=clock.now())
    acme.installed.deleted = True
    await rows.make_installation(app_id=acme.app.id, account_login="gone")
    texts = [one.text for one in (await findings(acme))["installed"]]
    assert texts[0].startswith("The app is installed nowhere")
    assert texts[1].startswith("gone: GitHub knows this installation no more")
    unknown = acme.installed.app.install("newcomer")
    assert "newcomer: not known here yet" in (await worst(acme, "installed")).text
    unknown.deleted = True


async def test_the_command_prints_it_and_its_status_says_whether_it_works(
    acme: Acme, parts: Parts, tmp_path: Path
) -> None:
    await linked(acme)
    settings = {"STATEROOM_EXTERNAL_URL": "https://stateroom.test", **parts.environment}
    ended = stateroom("doctor", "github", "--data", str(tmp_path), **settings)
    assert ended.returncode == 0, ended.stderr
    first, second, *_ = ended.stdout.splitlines()
    assert first == f"stateroom-test at {acme.github.url.partition('://')[2]}"
    assert second.startswith("ok    key         ")
    acme.installed.app.webhook_url = "https://elsewhere.test/"
    ended = stateroom("doctor", "github", "--json", "--data", str(tmp_path), **settings)
    assert ended.returncode == 1
    assert [one["subject"] for one in json.loads(ended.stdout) if one["verdict"] == "failed"] == ["webhook"]
    assert ended.stderr == ""


async def test_the_command_judges_by_the_address_that_the_server_was_started_with(
    acme: Acme, parts: Parts, tmp_path: Path
) -> None:
    await linked(acme)
    (tmp_path / "url").write_text("https://localhost:8530\n")
    ended = stateroom("doctor", "github", "--data", str(tmp_path), **parts.environment)
    assert f"not to https://localhost:8530{links.github_webhook(acme.app.id)}." in ended.stdout
    elsewhere = parts.environment | {"STATEROOM_WEBHOOK_URL": "https://stateroom.test"}
    ended = stateroom("doctor", "github", "--data", str(tmp_path), **elsewhere)
    assert f"delivers to https://stateroom.test{links.github_webhook(acme.app.id)}" in ended.stdout

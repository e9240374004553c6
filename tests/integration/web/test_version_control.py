from __future__ import annotations

import re

from app import clock, ids, links
from app.organizations.models import Organization
from app.vcs.models import Connection, Installation, Repository, VcsEvent
from app.workspaces.models import Workspace
from tests import factories
from tests.integration.web.conftest import Browser, text

HERE = links.version_control("acme", "network")
EVIL = "<script>alert(1)</script>"


def _begins_at_once(page: str) -> bool:
    """Whether the form's box is ticked with which commits are planned without a first run by hand."""
    box = re.search(r'<input type="checkbox" name="queue_all_runs"[^>]*>', page)
    assert box is not None
    return "checked" in box[0]


async def test_a_workspace_is_connected_changed_and_disconnected_on_its_page(
    alice: Browser, organization: Organization, workspace: Workspace
) -> None:
    assert "may use no installation of the GitHub App yet" in text(await alice.get(HERE))
    repository = await factories.make_repository(organization, "acme-hub/net")
    fresh = await alice.get(HERE)
    assert "Connect to a repository" in text(fresh)
    assert _begins_at_once(fresh.text)
    form = {"repository": "acme-hub/net", "installation": repository.installation_id, "branch": "stable"}

    wrong = await alice.post(HERE, {**form, "repository": f"acme-hub/{EVIL}"})
    assert wrong.status_code == 422
    assert f"sees no repository acme-hub/{EVIL}" in text(wrong)
    assert 'value="stable"' in wrong.text
    assert EVIL not in wrong.text
    assert await Connection.all().count() == 0

    elsewhere = await alice.post(HERE, {**form, "branch": "../../../../secret/git/ref/heads/main"})
    assert (elsewhere.status_code, "a name that git takes" in text(elsewhere)) == (422, True)
    assert (await alice.post(HERE, form)).headers["location"] == HERE
    connected = await alice.get(HERE)
    assert "the branch stable" in text(connected)
    assert not _begins_at_once(connected.text)
    watching = {"working_directory": "/prod/", "file_triggers_enabled": "on", "trigger_patterns": "a/**\r\n\r\nb/*.tf"}
    assert (await alice.post(HERE, form | watching | {"queue_all_runs": "on"})).status_code == 303
    await workspace.refresh_from_db()
    assert (workspace.queue_all_runs, workspace.speculative_enabled, workspace.file_triggers_enabled) == (
        True,
        False,
        True,
    )
    assert (workspace.working_directory, workspace.trigger_patterns) == ("prod", ["a/**", "b/*.tf"])
    both = await alice.post(HERE, form | watching | {"trigger_prefixes": "modules"})
    assert (both.status_code, "either trigger prefixes or trigger patterns" in text(both)) == (422, True)
    assert "a/**" in both.text
    wrong = await alice.post(HERE, form | {"repository": "acme-hub/none", "working_directory": "other"})
    assert (wrong.status_code, (await Workspace.get(id=workspace.id)).working_directory) == (422, "prod")
    assert _begins_at_once((await alice.get(HERE)).text)
    tags = {"repository": "acme-hub/net", "installation": repository.installation_id, "tags_regex": "^v1"}
    assert (await alice.post(HERE, tags | {"submodules": "on", "fork_policy": "deny"})).status_code == 303
    assert (await alice.post(HERE, tags | {"submodules": "on", "fork_policy": "allow"})).status_code == 422
    shown = text(await alice.get(HERE))
    assert "Forks not planned" in shown
    assert "planned at once" not in shown
    assert "tags that match ^v1" in shown
    assert "Submodules fetched" in shown

    assert "Disconnect network from acme-hub/net?" in text(await alice.get(f"{HERE}/disconnect"))
    assert (await alice.post(f"{HERE}/disconnect")).headers["location"] == HERE
    assert await Connection.all().count() == 0
    assert (await alice.get(f"{HERE}/disconnect")).headers["location"] == HERE


async def test_the_page_says_what_came_of_commits_and_why_none_come(
    alice: Browser, organization: Organization, workspace: Workspace
) -> None:
    repository = await factories.make_repository(organization, "acme-hub/net")
    form = {"repository": "acme-hub/net", "installation": repository.installation_id}
    await alice.post(HERE, form)
    await VcsEvent.create(
        id=ids.new("vcs_event"),
        workspace_id=workspace.id,
        kind="branch",
        ref="main",
        sha="4b825dc642cb6eb9a060e54bf8d69288fbee4904",
        outcome="skipped",
        reason=f"No file changed in {EVIL}.",
        created_at=clock.now(),
    )
    page = await alice.get(HERE)
    assert f"main 4b825dc skipped No file changed in {EVIL}." in text(page)
    assert EVIL not in page.text
    await Installation.all().update(suspended_at=clock.now())
    assert "installation in acme-hub is suspended" in text(await alice.get(HERE))
    await Repository.all().update(lost="The repository was deleted at GitHub.")
    assert "was deleted at GitHub" in text(await alice.get(HERE))

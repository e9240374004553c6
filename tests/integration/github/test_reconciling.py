"""What no delivery told is found by looking, once, and a look at what has not moved asks little."""

from __future__ import annotations

from collections import Counter

import pytest

from app.vcs.models import Connection, Repository
from app.workspaces.models import Workspace
from github_app import reconciling
from tests.github import messages
from tests.github.fake.git import ZERO
from tests.integration.github.scene import Scene, scene

__all__ = ["scene"]

TAGS = "GET /repos/{owner}/{repo}/tags"


async def look(scene: Scene) -> Counter[str]:
    """A look as if an hour had passed; what it asked of GitHub."""
    scene.github.requests.clear()
    await Repository.filter(id=scene.repository.id).update(reconciled_at=None)
    assert await reconciling.reconcile_due() == 1
    return Counter(one.operation.rpartition("{repo}")[2] for one in scene.github.requests)


async def refs(scene: Scene, workspace: Workspace) -> list[str]:
    return [run.message or "" for run in await scene.runs(workspace)]


async def test_a_tag_that_no_delivery_told_is_started_and_those_of_before_are_not(scene: Scene) -> None:
    there = scene.there
    first = there.head("main") or ""
    there.git.tag("v1.0", first)
    releases = await scene.follow("releases", tags_regex=r"^v\d")
    await look(scene)
    assert await scene.runs(releases) == [], "what was there before is nothing to it"
    second = there.commit("main", {"main.tf": "# two\n"}, "Two")
    there.git.tag("v2.0", second, "annotated")
    there.git.tag("nightly", second)
    await look(scene)
    [run] = await scene.runs(releases)
    assert run.message == "Two"
    late = await scene.follow("late", tags_regex="^v")
    await look(scene)
    assert (len(await scene.runs(releases)), await scene.runs(late)) == (1, [])
    there.git.tag("v1.0", second)  # moved
    await look(scene)
    assert (await refs(scene, releases), await refs(scene, late)) == (["Two", "Two"], ["Two"])


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_a_tag_that_was_heard_of_costs_nothing_and_a_new_expression_starts_nothing_old(scene: Scene) -> None:
    releases = await scene.follow("releases", tags_regex="^v")
    await look(scene)
    sha = scene.there.head("main") or ""
    scene.there.git.tag("v1.0", sha)
    scene.there.git.tag("rc1", sha)
    await scene.hear("push", messages.push(scene.there, "refs/tags/v1.0", ZERO, sha, message="One"))
    calls = await look(scene)
    assert {name: calls[name] for name in calls if name.startswith("/")} == {"/tags": 1, "/pulls": 1}
    await Connection.filter(workspace_id=releases.id).update(tags_regex="^(v|rc)")
    await look(scene)
    await look(scene)
    assert len(await scene.runs(releases)) == 1


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_no_more_tags_are_read_and_started_at_once_than_is_said(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciling, "MOST_TAGS", 4)
    monkeypatch.setattr(reconciling, "MOST_TAGS_STARTED", 2)
    releases = await scene.follow("releases", tags_regex="^v")
    sha = scene.there.head("main") or ""
    for name in ("v1", "v2", "v3", "v4", "v5", "v6"):
        scene.there.git.tag(name, sha)
    await look(scene)
    scene.there.git.set("refs/tags/v6", None)  # v2 comes into sight, and is not new
    await look(scene)
    assert await scene.runs(releases) == []
    for name in ("v7", "v8", "v9"):
        scene.there.git.tag(name, sha)
    await look(scene)
    assert len(await scene.runs(releases)) == 2


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_open_pull_requests_that_concern_nobody_are_asked_about_once(scene: Scene) -> None:
    await scene.follow("network")
    there = scene.there
    there.commit("other", {"other.tf": "# other\n"})
    there.commit("side", {"main.tf": "# side\n"})
    pulls = [there.open_pull("side", "other") for _ in range(3)]
    first = await look(scene)
    assert first["/pulls/{pull_number}"] == 3
    idle = {"/git/ref/{ref}": 1, "/pulls": 1}
    assert await look(scene) == idle, "one call for the branch, one for all pull requests"
    there.commit("side", {"main.tf": "# side again\n"})
    assert (await look(scene))["/pulls/{pull_number}"] == 3
    pulls[0].base_ref = "main"  # and no delivery told
    assert (await look(scene))["/pulls/{pull_number}"] == 1
    assert await look(scene) == idle
    await scene.follow("sideways", branch="other")
    assert (await look(scene))["/pulls/{pull_number}"] == 2, "whom it may concern now is looked at anew"
    pulls[1].state = "closed"
    assert (await look(scene))["/pulls/{pull_number}"] == 1
    assert (await look(scene))["/pulls/{pull_number}"] == 0


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_a_pull_request_that_could_not_be_planned_is_tried_in_two_more_looks(scene: Scene) -> None:
    workspace = await scene.follow("network", working_directory="missing", file_triggers_enabled=False)
    scene.there.commit("side", {"main.tf": "# side\n"})
    scene.there.open_pull("side")
    asked = [(await look(scene))["/pulls/{pull_number}"] for _ in range(5)]
    assert asked == [1, 1, 1, 0, 0]
    assert await scene.runs(workspace) == []


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_a_pull_request_that_github_refuses_does_not_hold_up_the_others(scene: Scene) -> None:
    network = await scene.follow("network")
    scene.there.commit("side", {"main.tf": "# side\n"})
    scene.there.open_pull("side")
    refused = scene.there.open_pull("side")
    scene.github.fail(403, f"/pulls/{refused.number}", times=1)
    await look(scene)
    assert [run.plan_only for run in await scene.runs(network)] == [False, True]
    assert (await look(scene))["/pulls/{pull_number}"] == 1
    assert len(await scene.runs(network)) == 3

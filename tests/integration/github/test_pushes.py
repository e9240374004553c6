"""Pushes and tags start runs in the workspaces that follow them, once, and lose nothing."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest

from app import clock, configurations, runs
from app.access.actors import SYSTEM
from app.configurations.models import ConfigurationVersion, IngressAttributes
from app.runs import RunOptions
from app.vcs.models import Head, VcsEvent
from app.workspaces.models import Workspace
from github_app import deliveries, inbox, replay
from github_app.models import Delivery
from tests.github import messages
from tests.github.messages import ZERO
from tests.integration.github.scene import Scene, scene

__all__ = ["scene"]

MAIN = "refs/heads/main"


def pushed(scene: Scene, before: str, after: str, ref: str = MAIN, message: str = "") -> dict[str, object]:
    return messages.push(scene.there, ref, before, after, message=message)


async def test_a_push_starts_a_run_with_the_commit_and_a_second_delivery_of_it_none(scene: Scene) -> None:
    workspace = await scene.follow("network")
    before = scene.there.head("main") or ""
    sha = scene.there.commit("main", {"main.tf": "# two\n"}, "Say two\n\nAnd why.")
    delivery = await scene.hear("push", pushed(scene, before, sha, message="Say two\n\nAnd why."))
    assert (delivery.state, delivery.reason) == ("done", "1 run queued.")
    [run] = await scene.runs(workspace)
    assert (run.message, run.source, run.plan_only) == ("Say two\n\nAnd why.", "tfe-configuration-version", False)
    version = await ConfigurationVersion.get(id=run.configuration_version_id)
    told = await IngressAttributes.get(configuration_version_id=version.id)
    assert (told.commit_sha, told.branch, told.on_default_branch) == (sha, "main", True)
    assert (told.sender_username, told.identifier) == ("octocat", scene.there.full_name)
    assert (await configurations.stored_archive(version.id)).size > 0
    again = await scene.hear("push", pushed(scene, before, sha))
    assert again.reason == f"Every workspace has handled {sha[:7]} already."
    assert len(await scene.runs(workspace)) == 1


async def test_a_late_delivery_brings_no_old_commit_back_and_a_reset_branch_runs_again(scene: Scene) -> None:
    workspace = await scene.follow("network")
    first = scene.there.head("main") or ""
    second = scene.there.commit("main", {"main.tf": "# two\n"}, "Two")
    await scene.hear("push", pushed(scene, first, second))
    await scene.hear("push", pushed(scene, ZERO, first))
    assert len(await scene.runs(workspace)) == 1
    scene.there.set_branch("main", first)
    await scene.hear("push", pushed(scene, second, first))
    assert [head.sha for head in await Head.filter(workspace_id=workspace.id)] == [first]
    assert len(await scene.runs(workspace)) == 2


async def test_of_two_quick_pushes_no_path_is_lost(scene: Scene) -> None:
    """The delivery of the second, which touches nothing of the workspace's, comes first and alone."""
    workspace = await scene.follow("network", working_directory="network")
    begin = scene.there.head("main") or ""
    await scene.hear("push", pushed(scene, ZERO, begin))
    one = scene.there.commit("main", {"network/main.tf": "# changed\n"}, "Network")
    two = scene.there.commit("main", {"main.tf": "# elsewhere\n"}, "Elsewhere")
    delivery = await scene.hear("push", pushed(scene, one, two))
    assert delivery.reason == "1 run queued."
    assert (await scene.hear("push", pushed(scene, begin, one))).state == "done"
    assert len(await scene.runs(workspace)) == 2


async def test_who_is_not_concerned_gets_no_run_and_is_told_why(scene: Scene) -> None:
    network = await scene.follow("network", working_directory="network")
    modules = await scene.follow("modules", trigger_patterns=["/modules/**/*"])
    other = await scene.follow("other", branch="release")
    begin = scene.there.head("main") or ""
    await scene.hear("push", pushed(scene, ZERO, begin))
    sha = scene.there.commit("main", {"modules/a.tf": "# b\n"}, "Modules")
    delivery = await scene.hear("push", pushed(scene, begin, sha))
    assert delivery.reason == "1 run queued; 1 not affected."
    assert [len(await scene.runs(one)) for one in (network, modules, other)] == [1, 2, 0]
    told = await VcsEvent.filter(workspace_id=network.id).order_by("-created_at").first()
    assert told is not None
    assert (told.outcome, told.reason, told.delivery_id) == ("skipped", "No file changed in network.", delivery.id)


async def test_the_first_run_is_a_persons_unless_all_runs_are_queued(scene: Scene) -> None:
    workspace = await scene.follow("network", queue_all_runs=False)
    begin = scene.there.head("main") or ""
    await scene.hear("push", pushed(scene, ZERO, begin))
    assert await scene.runs(workspace) == []
    event = await VcsEvent.get(workspace_id=workspace.id)
    assert (event.outcome, "Start its first run by hand" in event.reason) == ("waiting", True)
    fresh = await Workspace.get(id=workspace.id)
    first = await runs.create(SYSTEM, fresh, None, RunOptions())
    told = await IngressAttributes.get(configuration_version_id=first.configuration_version_id)
    assert told.commit_sha == begin
    sha = scene.there.commit("main", {"main.tf": "# two\n"}, "Two")
    await scene.hear("push", pushed(scene, begin, sha))
    assert len(await scene.runs(workspace)) == 2


async def test_tags_start_runs_where_they_match_and_branches_do_not_there(scene: Scene) -> None:
    workspace = await scene.follow("network", tags_regex=r"^v\d+\.\d+\.\d+$")
    sha = scene.there.head("main") or ""
    assert (await scene.hear("push", pushed(scene, ZERO, sha))).state == "ignored"
    for tag, matches in (("v1.0.0", True), ("next", False)):
        scene.there.git.tag(tag, sha, "annotated")
        await scene.hear("push", pushed(scene, ZERO, "1" * 40, f"refs/tags/{tag}"))
        assert len(await scene.runs(workspace)) == 1, matches
    [run] = await scene.runs(workspace)
    told = await IngressAttributes.get(configuration_version_id=run.configuration_version_id)
    assert (told.tag, told.commit_sha, told.branch) == ("v1.0.0", sha, "")


async def test_branches_that_went_and_merge_queues_start_nothing(scene: Scene) -> None:
    workspace = await scene.follow("network", branch="release")
    sha = scene.there.commit("release", {"main.tf": "# r\n"}, "Release")
    await scene.hear("push", pushed(scene, ZERO, sha, "refs/heads/release"))
    scene.there.set_branch("release", None)
    gone = await scene.hear("push", pushed(scene, sha, ZERO, "refs/heads/release"))
    assert "is gone from GitHub" in (gone.reason or "")
    queue = await scene.hear("push", pushed(scene, ZERO, sha, "refs/heads/gh-readonly-queue/main/pr-1"))
    assert queue.state == "ignored"
    assert len(await scene.runs(workspace)) == 1
    scene.there.set_branch("release", sha)
    await scene.hear("push", pushed(scene, ZERO, sha, "refs/heads/release"))
    assert len(await scene.runs(workspace)) == 2


async def test_a_working_directory_that_is_not_in_the_commit_is_said_and_makes_no_run(scene: Scene) -> None:
    workspace = await scene.follow("network", working_directory="nowhere", file_triggers_enabled=False)
    sha = scene.there.head("main") or ""
    delivery = await scene.hear("push", pushed(scene, ZERO, sha))
    assert f"The working directory nowhere does not exist at {sha[:7]}" in (delivery.reason or "")
    assert await scene.runs(workspace) == []


async def test_many_workspaces_cost_one_fetch(scene: Scene) -> None:
    followers = [await scene.follow(f"ws-{number}") for number in range(20)]
    sha = scene.there.head("main") or ""
    delivery = await scene.hear("push", pushed(scene, ZERO, sha))
    assert delivery.reason == "20 runs queued."
    assert len(scene.github.asked("GET /repos/{owner}/{repo}/tarball/{ref}")) == 1
    made = [(await scene.runs(one))[0].configuration_version_id for one in followers]
    assert len({(await configurations.stored_archive(version)).id for version in made}) == 1


async def test_what_github_does_not_answer_is_tried_again_and_then_failed(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = await scene.follow("network")
    monkeypatch.setattr(deliveries, "PAUSES", (0, 0, 0))
    sha = scene.there.head("main") or ""
    scene.github.fail(502, "/git/ref", times=2)
    assert (await scene.hear("push", pushed(scene, ZERO, sha))).state == "done"
    assert len(await scene.runs(workspace)) == 1
    two = scene.there.commit("main", {"main.tf": "# two\n"}, "Two")
    scene.github.fail("nothing", "/git/ref", times=4)
    failed = await scene.hear("push", pushed(scene, sha, two))
    assert (failed.state, failed.tries) == ("failed", 4)
    assert len(await scene.runs(workspace)) == 1
    again = await scene.hear("push", pushed(scene, sha, two), guid=failed.guid)
    assert again.state == "done"
    assert len(await scene.runs(workspace)) == 2


async def test_a_limit_of_githubs_is_waited_for_and_counts_as_no_try(scene: Scene) -> None:
    await scene.follow("network")
    scene.github.fail("secondary", "/git/ref")
    waiting = await scene.hear("push", pushed(scene, ZERO, scene.there.head("main") or ""))
    assert (waiting.state, waiting.tries) == ("received", 0)
    assert waiting.next_at is not None
    assert waiting.next_at > clock.now() + timedelta(seconds=10)


async def test_two_workers_process_a_delivery_once_and_a_repositorys_in_turn(scene: Scene) -> None:
    workspace = await scene.follow("network")
    sha = scene.there.head("main") or ""
    body = json.dumps(pushed(scene, ZERO, sha)).encode()
    for number in range(6):
        await inbox.store(scene.app, inbox.Message(f"delivery-{number}", "push", body))
    while await Delivery.filter(state="received").exists():
        await asyncio.gather(*(deliveries.process_waiting() for _ in range(3)))
    assert {row.tries for row in await Delivery.all()} == {1}
    assert len(await scene.runs(workspace)) == 1


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_a_replay_does_what_is_left_to_do_and_nothing_twice(scene: Scene) -> None:
    workspace = await scene.follow("network")
    sha = scene.there.commit("main", {"main.tf": "# two\n"}, "Two")
    scene.github.fail(404, "/git/ref/", times=1)
    delivery = await scene.hear("push", pushed(scene, ZERO, sha))
    await Delivery.filter(id=delivery.id).update(state="failed")
    for expected in ("1 run queued.", f"Every workspace has handled {sha[:7]} already."):
        await replay.replay(SYSTEM, delivery)
        await deliveries.process_waiting()
        await delivery.refresh_from_db()
        assert (delivery.state, delivery.reason) == ("done", expected)
    assert len(await scene.runs(workspace)) == 1


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_a_number_that_no_column_holds_fails_the_delivery_once(scene: Scene) -> None:
    await scene.follow("network")
    body: dict[str, Any] = pushed(scene, ZERO, scene.there.head("main") or "")
    body["repository"]["id"] = 2**63
    delivery = await scene.hear("push", body)
    assert (delivery.state, delivery.tries, delivery.repository_id) == ("failed", 1, None)
    assert "cannot be read" in (delivery.reason or "")

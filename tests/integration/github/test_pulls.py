"""Pull requests and merge groups: plans where they are wanted, one check for all, and none for strangers unasked."""

from __future__ import annotations

import socket
from dataclasses import replace
from datetime import timedelta

import pytest

from app import clock, organizations, runs, settings
from app.access.actors import SYSTEM
from app.access.models import User
from app.configurations.models import ConfigurationVersion
from app.errors import Unavailable
from app.runs import RunOptions, lifecycle, moves
from app.runs.models import Run
from app.vcs.models import Connection, Repository, VcsEvent
from app.workspaces.models import Workspace
from github_app import check_names, checks, deliveries, fetch, following, reconciling, replay
from github_app.api import Unreachable
from github_app.models import Check, Delivery, ForkApproval, LinkedAccount
from tests import factories
from tests.github import messages
from tests.github.fake import world
from tests.integration.github.scene import Scene, scene

__all__ = ["scene"]

FETCH = "GET /repos/{owner}/{repo}/tarball/{ref}"


async def opened_pull(scene: Scene, files: dict[str, str], branch: str = "feature") -> world.Pull:
    scene.there.commit(branch, files, f"On {branch}")
    pull = scene.there.open_pull(branch)
    await scene.hear("pull_request", messages.pull_request(scene.there, pull, "opened"))
    return pull


async def one(scene: Scene, workspace: object) -> Run:
    [run] = await scene.runs(workspace)  # type: ignore[arg-type]
    return run


async def test_each_affected_workspace_plans_and_the_organizations_check_counts_all(scene: Scene) -> None:
    network = await scene.follow("network", working_directory="network")
    modules = await scene.follow("modules", working_directory="modules", trigger_prefixes=["modules"])
    release = await scene.follow("release", branch="release")
    off = await scene.follow("off", speculative_enabled=False)
    pull = await opened_pull(scene, {"network/main.tf": "# changed\n"})
    run = await one(scene, network)
    assert (run.plan_only, run.message, run.is_restricted) == (True, "On feature", False)
    assert [await scene.runs(each) for each in (modules, release, off)] == [[], [], []]
    assert await scene.verdicts(pull.head_sha) == {
        "acme": (False, "0 of 1 workspace done"),
        "acme / network": (False, (await Check.get(run_id=run.id)).wanted["title"]),
    }
    assert len(scene.github.asked(FETCH)) == 1


async def test_a_pull_request_that_concerns_nobody_passes(scene: Scene) -> None:
    await scene.follow("network", working_directory="network")
    pull = await opened_pull(scene, {"main.tf": "# elsewhere\n"})
    assert await scene.verdicts(pull.head_sha) == {"acme": (True, "No affected workspaces")}
    assert scene.github.asked(FETCH) == []


async def test_a_newer_commit_cancels_the_older_plan_and_a_close_cancels_all(scene: Scene) -> None:
    network = await scene.follow("network")
    pull = await opened_pull(scene, {"main.tf": "# one\n"})
    older = pull.head_sha
    scene.there.commit("feature", {"main.tf": "# two\n"}, "Two")
    await scene.hear("pull_request", messages.pull_request(scene.there, pull, "synchronize"))
    first, second = await scene.runs(network)
    assert (lifecycle.is_final(first), lifecycle.is_final(second)) == (True, False)
    superseded = f"Superseded by {pull.head_sha[:7]}"
    assert await scene.verdicts(older) == {"acme": (True, superseded), "acme / network": (True, superseded)}
    late = messages.pull_request(scene.there, pull, "synchronize")
    late["pull_request"]["head"]["sha"] = older
    await scene.hear("pull_request", late)
    assert len(await scene.runs(network)) == 2
    pull.state = "closed"
    closed = await scene.hear("pull_request", messages.pull_request(scene.there, pull, "closed"))
    assert closed.reason == "#1 was closed. 1 plan canceled."
    assert all(lifecycle.is_final(run) for run in await scene.runs(network))
    pull.state = "open"
    await scene.hear("pull_request", messages.pull_request(scene.there, pull, "reopened"))
    assert len(await scene.runs(network)) == 3


async def test_another_base_is_another_workspaces_matter(scene: Scene) -> None:
    network = await scene.follow("network")
    release = await scene.follow("release", branch="release")
    scene.there.commit("release", {"main.tf": "# r\n"}, "Release")
    pull = await opened_pull(scene, {"main.tf": "# one\n"})
    assert [len(await scene.runs(each)) for each in (network, release)] == [1, 0]
    pull.base_ref = "release"
    changed = messages.pull_request(scene.there, pull, "edited", changes={"base": {"ref": {"from": "main"}}})
    await scene.hear("pull_request", changed)
    assert lifecycle.is_final(await one(scene, network))
    assert not lifecycle.is_final(await one(scene, release))
    titled = messages.pull_request(scene.there, pull, "edited", changes={"title": {"from": "x"}})
    assert (await scene.hear("pull_request", titled)).state == "ignored"


async def test_a_workspace_whose_base_it_was_counts_no_more_although_its_plan_has_failed(scene: Scene) -> None:
    network = await scene.follow("network")
    await scene.follow("release", branch="release", working_directory="elsewhere")
    scene.there.commit("release", {"elsewhere/main.tf": "# r\n"}, "Release")
    pull = await opened_pull(scene, {"main.tf": "# one\n"})
    run, claimed = await one(scene, network), await factories.take_job()
    await moves.move(run, "start", claim=claimed.claim)
    await moves.move(run, "fail", claim=claimed.claim, failure="It failed.")
    await checks.catch_up()
    rows = Check.filter(head_sha=pull.head_sha, workspace_id=None).order_by("-attempt")
    assert (await rows.get_or_none(attempt=1)).wanted["conclusion"] == "failure"  # type: ignore[union-attr]
    pull.base_ref = "release"
    changed = messages.pull_request(scene.there, pull, "edited", changes={"base": {"ref": {"from": "main"}}})
    await scene.hear("pull_request", changed)
    latest = await rows.first()
    assert latest is not None
    assert (latest.wanted["conclusion"], latest.wanted["title"]) == ("success", "No affected workspaces")
    left = await Check.get(head_sha=pull.head_sha, workspace_id=network.id)
    assert (left.is_final, left.wanted["conclusion"]) == (True, "cancelled")


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_a_pull_request_is_no_first_run_and_neither_is_its_merge(scene: Scene) -> None:
    network = await scene.follow("network", queue_all_runs=False, auto_apply=True)
    pull = await opened_pull(scene, {"main.tf": "# one\n"})
    assert await scene.runs(network) == []
    row = await Check.get(head_sha=pull.head_sha, workspace_id=network.id)
    assert (row.is_final, row.wanted["conclusion"], row.wanted["title"]) == (True, "neutral", following.FIRST_RUN)
    aggregate = await Check.get(head_sha=pull.head_sha, workspace_id=None)
    assert (aggregate.is_final, aggregate.wanted["conclusion"]) == (True, "neutral"), "which does not block"

    await reconciling.reconcile_due()  # the configuration of main, for a first run
    fresh = await Workspace.get(id=network.id)
    await runs.create(SYSTEM, fresh, None, RunOptions(plan_only=True))
    base, sha = scene.there.head("main") or "", scene.there.commit("main", {"main.tf": "# merged\n"}, "Merge")
    await scene.hear("push", messages.push(scene.there, "refs/heads/main", base, sha))
    assert [run.plan_only for run in await scene.runs(network)] == [True]

    await runs.create(SYSTEM, fresh, None, RunOptions())
    button = messages.check_run(scene.there, check_names.external_id(row), pull.head_sha, "rerequested")
    await scene.hear("check_run", button)
    assert [run.plan_only for run in await scene.runs(network)] == [True, False, True]


async def test_a_merge_group_is_planned_and_ended_when_it_is_destroyed(scene: Scene) -> None:
    network = await scene.follow("network")
    base = scene.there.head("main") or ""
    branch = "gh-readonly-queue/main/pr-1"
    sha = scene.there.commit(branch, {"main.tf": "# queued\n"}, "Merge #1")
    await scene.hear("merge_group", messages.merge_group(scene.there, branch, sha, base, "checks_requested"))
    assert (await one(scene, network)).plan_only
    assert set(await scene.verdicts(sha)) == {"acme", "acme / network"}
    await scene.hear("merge_group", messages.merge_group(scene.there, branch, sha, base, "destroyed"))
    assert lifecycle.is_final(await one(scene, network))


async def test_the_button_plans_the_same_commit_again_and_none_that_was_overtaken(scene: Scene) -> None:
    network = await scene.follow("network")
    pull = await opened_pull(scene, {"main.tf": "# one\n"})
    older = pull.head_sha
    run = await one(scene, network)
    check = await Check.get(run_id=run.id)
    button = messages.check_run(scene.there, check_names.external_id(check), older, "rerequested")
    assert (await scene.hear("check_run", button)).reason == "It is being planned already."
    await runs.cancel(SYSTEM, run)
    await scene.hear("check_run", button)
    assert len(await scene.runs(network)) == 2
    assert {row.attempt for row in await Check.filter(head_sha=older, workspace_id=network.id)} == {1, 2}
    await runs.cancel(SYSTEM, (await scene.runs(network))[1])
    scene.there.commit("feature", {"main.tf": "# two\n"}, "Two")
    assert "A newer commit exists" in ((await scene.hear("check_run", button)).reason or "")
    foreign = messages.check_run(scene.there, "v1:run-nothing:1", older, "rerequested")
    assert (await scene.hear("check_run", foreign)).state == "ignored"


async def strangers_pull(scene: Scene) -> world.Pull:
    fork = scene.there.fork("mallory")
    fork.commit("evil", {"main.tf": "# evil\n"}, "Evil")
    pull = scene.there.open_pull("evil", fork=fork, by="mallory")
    await scene.hear("pull_request", messages.pull_request(scene.there, pull, "opened"))
    return pull


async def link(scene: Scene, login: str, user: User, access: str) -> None:
    account = scene.github.account(login, "User")
    scene.there.collaborators[login] = access
    await LinkedAccount.create(
        app_id=scene.app.id, user_id=user.id, number=account.number, login=login, linked_at=clock.now()
    )


async def press(scene: Scene, pull: world.Pull, login: str, check: Check | None = None) -> str:
    of_workspaces = Check.filter(head_sha=pull.head_sha, workspace_id__not_isnull=True)
    check = check or await of_workspaces.order_by("-attempt").first()
    assert check is not None
    body = messages.check_run(
        scene.there, check_names.external_id(check), pull.head_sha, "requested_action", button="approve_fork", by=login
    )
    return (await scene.hear("check_run", body)).reason or ""


async def test_a_strangers_commit_waits_until_somebody_who_may_lets_it_be_planned(scene: Scene) -> None:
    network = await scene.follow("network")
    pull = await strangers_pull(scene)
    assert await scene.runs(network) == []
    assert scene.github.asked(FETCH) == []
    assert (await scene.verdicts(pull.head_sha))["acme / network"] == (True, "Approval needed to plan a fork")
    await scene.hear("pull_request", messages.pull_request(scene.there, pull, "synchronize"))
    assert await scene.runs(network) == []

    assert "linked to no user" in await press(scene, pull, "mallory")
    reader, outsider, owner = [await factories.make_user(name) for name in ("reader", "outsider", "owner")]
    await organizations.add_owner(SYSTEM, scene.organization, reader)
    await organizations.add_owner(SYSTEM, scene.organization, owner)
    await link(scene, "reads", reader, "read")
    await link(scene, "writes-elsewhere", outsider, "admin")
    await link(scene, "writes", owner, "write")
    assert "has no write access" in await press(scene, pull, "reads")
    assert "in none of the workspaces" in await press(scene, pull, "writes-elsewhere")
    assert await scene.runs(network) == []

    assert "let" in await press(scene, pull, "writes")
    run = await one(scene, network)
    assert (run.plan_only, run.is_restricted, run.restricted_by_id) == (True, True, owner.id)
    theirs = await ConfigurationVersion.get(id=run.configuration_version_id)
    again = await runs.create(SYSTEM, network, theirs, RunOptions())
    assert again.is_restricted, "whoever starts another run of a stranger's code"
    await runs.cancel(SYSTEM, again)

    scene.github.account("mallory", "User")
    assert pull.head is not None
    pull.head.commit("evil", {"main.tf": "# worse\n"}, "Worse")
    await scene.hear("pull_request", messages.pull_request(scene.there, pull, "synchronize"))
    assert all(lifecycle.is_final(each) for each in await scene.runs(network))
    assert (await scene.verdicts(pull.head_sha))["acme / network"] == (True, "Approval needed to plan a fork")


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_a_press_approves_what_waits_by_that_check_and_nothing_else(scene: Scene) -> None:
    first, second = await scene.follow("first"), await scene.follow("second")
    await scene.follow("tagged", tags_regex="^v")
    await scene.follow("unaffected", working_directory="network")
    foreign = replace(scene, organization=await factories.make_organization("beta"))
    theirs = await foreign.follow("theirs")
    pull = await strangers_pull(scene)
    owner = await factories.make_user("owner")
    for organization in (scene.organization, foreign.organization):
        await organizations.add_owner(SYSTEM, organization, owner)
    await link(scene, "writes", owner, "write")

    async def approved() -> set[str]:
        return {approval.workspace_id for approval in await ForkApproval.all()}

    own = await Check.get(head_sha=pull.head_sha, workspace_id=first.id)
    assert "in 1 workspace." in await press(scene, pull, "writes", own)
    assert await approved() == {first.id}
    assert [len(await scene.runs(each)) for each in (first, second, theirs)] == [1, 0, 0]
    assert "waits for an approval" in await press(scene, pull, "writes", own)
    aggregate = await Check.get(head_sha=pull.head_sha, workspace_id=None, name__endswith="acme", attempt=1)
    assert "in 1 workspace." in await press(scene, pull, "writes", aggregate)
    assert await approved() == {first.id, second.id}
    assert [len(await scene.runs(each)) for each in (first, second, theirs)] == [1, 1, 0]
    assert (await scene.verdicts(pull.head_sha))["beta / theirs"] == (True, "Approval needed to plan a fork")


async def test_a_delivery_that_fails_for_good_ends_the_check_it_began(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = await scene.follow("network")
    monkeypatch.setattr(deliveries, "PAUSES", ())
    scene.github.fail(502, "/files")
    pull = await opened_pull(scene, {"main.tf": "# one\n"})
    assert await scene.verdicts(pull.head_sha) == {"acme": (True, "The commit could not be planned")}
    await scene.hear("pull_request", messages.pull_request(scene.there, pull, "synchronize"))
    assert len(await scene.runs(network)) == 1
    assert (await scene.verdicts(pull.head_sha))["acme"] == (False, "0 of 1 workspace done")


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_files_that_github_will_not_list_may_all_have_changed(scene: Scene) -> None:
    network = await scene.follow("network", working_directory="network")
    scene.github.fail(422, "/files")
    await opened_pull(scene, {"main.tf": "# elsewhere\n"})
    assert (await one(scene, network)).plan_only
    event = await VcsEvent.get(workspace_id=network.id)
    assert "GitHub does not list the files" in event.reason


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_a_pull_request_that_github_does_not_show_yet_is_asked_for_again(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = await scene.follow("network")
    monkeypatch.setattr(deliveries, "PAUSES", (0, 0))
    scene.github.fail(404, "/pulls/1")
    scene.github.fail(422, "/pulls/1")
    await opened_pull(scene, {"main.tf": "# one\n"})
    assert len(await scene.runs(network)) == 1


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_a_pull_request_that_github_never_shows_fails_and_is_not_passed_over(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = await scene.follow("network")
    monkeypatch.setattr(deliveries, "PAUSES", ())
    scene.github.fail(404, "/pulls/1")
    pull = await opened_pull(scene, {"main.tf": "# one\n"})
    check = await Check.get(head_sha=pull.head_sha)
    assert (check.wanted["title"], check.wanted["conclusion"]) == ("The commit could not be planned", "failure")
    await scene.hear("pull_request", messages.pull_request(scene.there, pull, "reopened"))
    assert len(await scene.runs(network)) == 1
    assert (await scene.verdicts(pull.head_sha))["acme"] == (False, "0 of 1 workspace done")


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_a_press_that_fails_for_good_ends_the_check_it_began(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = await scene.follow("network")
    pull = await strangers_pull(scene)
    owner = await factories.make_user("owner")
    await organizations.add_owner(SYSTEM, scene.organization, owner)
    await link(scene, "writes", owner, "write")
    monkeypatch.setattr(deliveries, "PAUSES", ())
    scene.github.fail(502, "/files")
    await press(scene, pull, "writes")
    assert (await scene.verdicts(pull.head_sha))["acme"] == (True, "The commit could not be planned")
    await press(scene, pull, "writes")
    assert len(await scene.runs(network)) == 1
    assert (await scene.verdicts(pull.head_sha))["acme"] == (False, "0 of 1 workspace done")


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_a_replay_ends_the_check_well_also_where_nothing_is_affected(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    await scene.follow("network", working_directory="network")
    monkeypatch.setattr(deliveries, "PAUSES", ())
    scene.github.fail(502, "/files")
    pull = await opened_pull(scene, {"main.tf": "# one\n"})
    assert await scene.verdicts(pull.head_sha) == {"acme": (True, "The commit could not be planned")}
    await replay.replay(SYSTEM, await Delivery.get())
    await deliveries.process_waiting()
    assert await scene.verdicts(pull.head_sha) == {"acme": (True, "No affected workspaces")}


async def test_a_workspace_may_deny_forks_without_blocking_them(scene: Scene) -> None:
    network = await scene.follow("network")
    await Connection.filter(workspace_id=network.id).update(fork_policy="deny")
    pull = await strangers_pull(scene)
    assert await scene.runs(network) == []
    row = await Check.get(head_sha=pull.head_sha, workspace_id=network.id)
    assert (row.is_final, row.wanted["conclusion"]) == (True, "neutral")
    assert row.wanted["title"] == "Plans are not run for forks in this workspace."
    assert row.wanted["summary"] == checks.BLOCKS_NOTHING
    aggregate = await Check.get(head_sha=pull.head_sha, workspace_id=None)
    assert (aggregate.is_final, aggregate.wanted["conclusion"]) == (True, "neutral"), "which does not block"


async def test_a_workspace_plans_all_forks_only_where_the_server_permits_it_and_restricted(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = await scene.follow("network")
    await Connection.filter(workspace_id=network.id).update(fork_policy="allow")
    pull = await strangers_pull(scene)
    assert await scene.runs(network) == []
    permitting = settings.current().model_copy(update={"allow_forks": True})
    monkeypatch.setattr(settings, "current", lambda: permitting)
    assert pull.head is not None
    pull.head.commit("evil", {"main.tf": "# more evil\n"}, "More")
    await scene.hear("pull_request", messages.pull_request(scene.there, pull, "synchronize"))
    (run,) = await scene.runs(network)
    assert (run.plan_only, run.is_restricted) == (True, True)


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_a_strangers_submodules_make_the_server_call_nobody_and_the_check_tell_nothing(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = await scene.follow("network")
    await Connection.filter(workspace_id=network.id).update(fork_policy="allow", ingress_submodules=True)
    permitting = settings.current().model_copy(update={"allow_forks": True})
    monkeypatch.setattr(settings, "current", lambda: permitting)
    monkeypatch.setattr(deliveries, "PAUSES", ())
    fork = scene.there.fork("mallory")
    with socket.create_server(("127.0.0.1", 0)) as internal:
        url = f"http://localhost:{internal.getsockname()[1]}/internal/thing.git"
        wanted = f'[submodule "s"]\n\tpath = s\n\turl = {url}\n'
        fork.commit("evil", {".gitmodules": wanted, "s": "=> " + "a" * 40}, "Evil")
        pull = scene.there.open_pull("evil", fork=fork, by="mallory")
        heard = await scene.hear("pull_request", messages.pull_request(scene.there, pull, "opened"))
        internal.settimeout(0)
        with pytest.raises(BlockingIOError):
            internal.accept()
    assert heard.state == "done"
    assert await scene.runs(network) == []
    assert await said_on(pull) == {"1 workspace: 1 failed", "The commit could not be fetched."}
    (event,) = await VcsEvent.filter(workspace_id=network.id)
    assert "submodules come from localhost" in event.reason

    async def down(*_: object, **__: object) -> None:
        raise Unavailable("git could not fetch it: Failed to connect to 10.0.0.7 port 22.")

    monkeypatch.setattr(fetch, "files_of", down)
    fork.commit("evil", {"s": "=> " + "b" * 40}, "Evil again")
    await scene.hear("pull_request", messages.pull_request(scene.there, pull, "synchronize"))
    assert await said_on(pull) == {"The commit could not be planned", "The commit could not be fetched."}

    later = clock.now() + timedelta(minutes=10)

    async def limited(*_: object, **__: object) -> None:
        raise Unreachable("GitHub asks to wait.", not_before=later)

    monkeypatch.setattr(fetch, "files_of", limited)
    monkeypatch.setattr(deliveries, "PAUSES", (1,))
    fork.commit("evil", {"s": "=> " + "c" * 40}, "And again")
    waits = await scene.hear("pull_request", messages.pull_request(scene.there, pull, "synchronize"))
    assert (waits.state, waits.next_at, waits.reason) == ("received", later, "The commit could not be fetched.")


async def said_on(pull: world.Pull) -> set[str]:
    """All that checks on the pull request's commit say of what failed."""
    told = [row.wanted for row in await Check.filter(head_sha=pull.head_sha)]
    return {text for one in told if one["conclusion"] == "failure" for text in (one["title"], one["summary"]) if text}


async def test_what_no_delivery_told_is_found(scene: Scene) -> None:
    network = await scene.follow("network")
    scene.there.commit("feature", {"main.tf": "# one\n"}, "One")
    pull = scene.there.open_pull("feature")
    assert await reconciling.reconcile_due() == 1
    assert [run.plan_only for run in await scene.runs(network)] == [False, True]
    assert await reconciling.reconcile_due() == 0
    pull.state = "closed"
    await Repository.filter(id=scene.repository.id).update(reconciled_at=None)
    await reconciling.reconcile_due()
    normal, planned = await scene.runs(network)
    assert (lifecycle.is_final(normal), lifecycle.is_final(planned)) == (False, True)

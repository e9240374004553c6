"""A stranger's commit that waits is seen and approved here, over the API and by pages, by who may write at GitHub."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from app import clock, links, settings
from app.access import permissions
from app.access.models import User
from app.access.permissions import Level
from app.vcs.models import Connection, ForkCommit, Installation, Repository, VcsEvent
from app.workspaces.models import Workspace
from github_app import fork_plans
from github_app.models import Check, ForkApproval
from tests import factories
from tests.api import Client, attributes, error
from tests.github import messages
from tests.github.fake import world
from tests.integration.github.scene import Scene, scene
from tests.integration.github.test_outbox_to_github import send_all
from tests.integration.github.test_pulls import link, one, press, strangers_pull
from tests.integration.web.conftest import Open, browse, text

__all__ = ["browse", "scene"]

HERE, RUNS = links.version_control("ours", "network"), f"{links.workspace('ours', 'network')}/runs"
ONCE = pytest.mark.parametrize("parts", ["embedded"], indirect=True)


@dataclass
class Stage:
    """A commit of mallory's fork waits in the workspace network of acme, which alice owns."""

    scene: Scene
    network: Workspace
    pull: world.Pull
    alice: User
    api: Client

    async def listed(self) -> list[str]:
        found = (await self.api.get(f"/workspaces/{self.network.id}/fork-commits")).json()["data"]
        return [each["id"] for each in found]

    async def approve(self, commit_id: str, by: Client | None = None) -> tuple[int, str]:
        """The answer's status, and what it says."""
        answer = await (by or self.api).post(f"/fork-commits/{commit_id}/actions/approve")
        return answer.status_code, attributes(answer)["status"] if answer.is_success else error(answer)["detail"]


@pytest.fixture
async def stage(scene: Scene, anonymous: Client) -> Stage:
    alice = await factories.make_user("alice")
    scene.organization = await factories.make_organization("ours", owner=alice)
    network = await scene.follow("network")
    pull = await strangers_pull(scene)
    return Stage(scene, network, pull, alice, await anonymous.as_user(alice))


async def test_a_waiting_commit_is_listed_approved_and_planned_by_a_worker(stage: Stage) -> None:
    scene, network = stage.scene, stage.network
    [waits] = (await stage.api.get(f"/workspaces/{network.id}/fork-commits")).json()["data"]
    assert waits["attributes"] | {"created-at": ""} == {
        "status": "waiting",
        "sha": stage.pull.head_sha,
        "pull-request-number": 1,
        "pull-request-url": f"{scene.repository.html_url}/pull/1",
        "title": "A change",
        "author-login": "mallory",
        "fork": "mallory/infra",
        "repository": scene.repository.full_name,
        "created-at": "",
        "decided-at": None,
    }
    linking = f"{settings.current().external_url}/app/settings/github"
    status, sentence = await stage.approve(waits["id"])
    assert (status, linking in sentence) == (403, True)
    await link(scene, "alice-hub", stage.alice, "read")
    assert await stage.approve(waits["id"]) == (
        403,
        f"alice-hub has no write access to {scene.repository.full_name} at GitHub.",
    )
    assert (await ForkApproval.exists(), await fork_plans.plan_due()) == (False, 0)

    scene.there.collaborators["alice-hub"] = "write"
    assert await stage.approve(waits["id"]) == (200, "approved")
    assert await stage.approve(waits["id"]) == (200, "approved"), "pressed twice"
    assert await stage.listed() == []
    assert await ForkApproval.all().count() == 1
    assert await scene.runs(network) == [], "the web process fetches nothing"
    assert await fork_plans.plan_due() == 1
    assert await fork_plans.plan_due() == 0
    run = await one(scene, network)
    assert (run.plan_only, run.is_restricted, run.restricted_by_id) == (True, True, stage.alice.id)
    shown = await stage.api.get(f"/fork-commits/{waits['id']}")
    assert shown.json()["data"]["relationships"]["approved-by"]["data"]["id"] == stage.alice.id
    assert scene.github.violations == []


@ONCE
async def test_a_commit_is_approved_in_its_workspace_alone_and_by_nobody_elses(stage: Stage) -> None:
    other = await stage.scene.follow("other")
    await stage.scene.hear("pull_request", messages.pull_request(stage.scene.there, stage.pull, "synchronize"))
    mallory = await factories.make_user("mallory")
    await factories.make_organization("evil", owner=mallory)
    await link(stage.scene, "mallory", mallory, "admin")
    theirs = Client(stage.api.http, await factories.make_token(mallory))
    [waits] = await stage.listed()
    for path in (f"/workspaces/{stage.network.id}/fork-commits", f"/fork-commits/{waits}"):
        assert (await theirs.get(path)).status_code == 404
    assert (await stage.approve(waits, theirs))[0] == 404
    assert (await stage.approve("fc-AAAAAAAAAAAAAAAA"))[0] == 404
    await link(stage.scene, "alice-hub", stage.alice, "maintain")
    assert (await stage.approve(waits))[0] == 200
    await fork_plans.plan_due()
    assert [len(await stage.scene.runs(each)) for each in (stage.network, other)] == [1, 0]
    assert await ForkCommit.filter(workspace_id=other.id, state="waiting").exists()


@ONCE
async def test_only_the_head_of_an_open_pull_request_is_approved(stage: Stage) -> None:
    scene, pull = stage.scene, stage.pull
    await link(scene, "alice-hub", stage.alice, "admin")
    [old] = await stage.listed()
    assert pull.head is not None
    pull.head.commit("evil", {"main.tf": "# worse\n"}, "Worse")
    status, sentence = await stage.approve(old)
    assert (status, "has moved on" in sentence) == (409, True), "GitHub knows it before we do"
    await scene.hear("pull_request", messages.pull_request(scene.there, pull, "synchronize"))
    [new] = await stage.listed()
    assert new != old
    assert (await stage.approve(old))[0] == 409
    assert not await ForkApproval.exists()
    pull.state = "closed"
    await scene.hear("pull_request", messages.pull_request(scene.there, pull, "closed"))
    assert await stage.listed() == []
    assert (await stage.approve(new))[0] == 409
    pull.state = "open"
    await scene.hear("pull_request", messages.pull_request(scene.there, pull, "reopened"))
    [again] = await stage.listed()
    await press(scene, pull, "alice-hub")
    assert await stage.listed() == [], "the check's button does the same"
    assert (await stage.approve(again), await fork_plans.plan_due()) == ((200, "approved"), 0)
    assert len(await scene.runs(stage.network)) == 1


@ONCE
async def test_nothing_is_approved_where_nothing_is_asked_or_github_says_nothing(stage: Stage) -> None:
    await link(stage.scene, "alice-hub", stage.alice, "write")
    [waits] = await stage.listed()
    await Connection.all().update(fork_policy="deny")
    assert (await stage.listed(), (await stage.approve(waits))[0]) == ([], 409)
    await Connection.all().update(fork_policy="approve")
    stage.scene.github.fail(403, "/collaborators/")
    assert (await stage.approve(waits))[0] == 409
    stage.scene.github.fail(502, "/collaborators/")
    assert (await stage.approve(waits))[0] == 503
    await Installation.all().update(suspended_at=clock.now())
    status, sentence = await stage.approve(waits)
    assert (status, "is suspended" in sentence) == (409, True)
    await Installation.all().update(suspended_at=None)
    assert (await stage.approve(waits))[0] == 200


@ONCE
async def test_what_cannot_be_planned_now_is_tried_again_for_an_hour(stage: Stage) -> None:
    scene = stage.scene
    await link(scene, "alice-hub", stage.alice, "write")
    [waits] = await stage.listed()
    assert (await stage.approve(waits))[0] == 200
    scene.github.fail(502, "/pulls/1")
    assert (await fork_plans.plan_due(), await fork_plans.plan_due()) == (0, 0)
    row = await ForkCommit.get(id=waits)
    assert row.next_at is not None
    assert clock.now() < row.next_at <= clock.now() + fork_plans.PAUSE
    await ForkCommit.all().update(next_at=clock.now(), decided_at=clock.now() - fork_plans.GIVE_UP)
    scene.github.fail(502, "/pulls/1")
    assert await fork_plans.plan_due() == 0
    assert (await ForkCommit.get(id=waits)).next_at is None
    assert (await VcsEvent.filter(outcome="failed").get()).workspace_id == stage.network.id
    assert await stage.listed() == [waits], "it is offered once more"
    assert (await stage.approve(waits), await fork_plans.plan_due()) == ((200, "approved"), 1)
    assert len(await scene.runs(stage.network)) == 1


@ONCE
async def test_the_pages_show_what_waits_and_approve_it(stage: Stage, browse: Open) -> None:
    scene, alice = stage.scene, await browse(stage.alice)
    scene.there.pulls[1].title = title = "<b>Faster</b> & better"
    await ForkCommit.all().update(title=title)
    await Repository.all().update(html_url="https://github.com/acme/infra")
    page = await alice.get(HERE)
    assert f"{title} #1 {stage.pull.head_sha[:7]} by mallory from mallory/infra, waiting since just now" in text(page)
    assert f'href="https://github.com/acme/infra/pull/1/commits/{stage.pull.head_sha}"' in page.text
    assert title not in page.text
    assert "1 commit of a fork waits for approval" in text(await alice.get(RUNS))

    [waits] = await stage.listed()
    refused = await alice.post(f"{HERE}/approve", {"commit": waits})
    assert (refused.status_code, links.GITHUB_ACCOUNTS in text(refused)) == (403, True)
    await link(scene, "alice-hub", stage.alice, "write")
    forged = await alice.post(f"{HERE}/approve", {"commit": waits, "form_token": "x"})
    assert (forged.status_code, await ForkApproval.exists()) == (403, False)
    await factories.make_workspace(scene.organization, "other")
    elsewhere = links.version_control("ours", "other")
    for address, commit in ((elsewhere, waits), (HERE, "fc-AAAAAAAAAAAAAAAA"), (HERE, "")):
        assert (await alice.post(f"{address}/approve", {"commit": commit})).status_code == 404
    for _ in range(2):
        assert (await alice.post(f"{HERE}/approve", {"commit": waits})).headers["location"] == HERE
    assert await fork_plans.plan_due() == 1
    assert (await one(scene, stage.network)).is_restricted
    assert "Nothing waits" in text(await alice.get(HERE))
    assert "waits for approval" not in text(await alice.get(RUNS))


@ONCE
async def test_who_may_not_queue_plans_sees_what_waits_and_no_button(
    stage: Stage, browse: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, [waits] = await browse(stage.alice), await stage.listed()
    await link(stage.scene, "alice-hub", stage.alice, "admin")
    assert f'action="{HERE}/approve"' in (await alice.get(HERE)).text
    monkeypatch.setattr(permissions, "level_of", lambda *_: Level.READ)
    page = await alice.get(HERE)
    assert (stage.pull.head_sha[:7] in page.text, f'action="{HERE}/approve"' in page.text) == (True, False)
    assert (await alice.post(f"{HERE}/approve", {"commit": waits})).status_code == 403
    assert (await stage.approve(waits))[0] == 403
    assert not await ForkApproval.exists()


@ONCE
async def test_checks_and_statuses_of_what_waits_lead_to_where_it_is_approved(stage: Stage) -> None:
    scene, sha = stage.scene, stage.pull.head_sha
    where = settings.current().external_url + links.fork_commits("ours", "network")
    granted = {"contents": "read", "metadata": "read", "pull_requests": "read", "statuses": "write"}
    await Installation.all().update(permissions=granted)
    await send_all()
    assert {told["context"]: (told["state"], told["target_url"]) for told in scene.there.statuses} == {
        "stateroom.test / ours": ("failure", where),
        "stateroom.test / ours / network": ("failure", where),
    }
    await link(scene, "alice-hub", stage.alice, "write")
    [waits] = await stage.listed()
    assert await stage.approve(waits) == (200, "approved")
    await fork_plans.plan_due()
    await send_all()
    run = await one(scene, stage.network)
    last = {told["context"]: (told["state"], told["target_url"]) for told in scene.there.statuses}
    page = settings.current().external_url + links.run("ours", "network", run.id)
    assert last["stateroom.test / ours / network"] == ("pending", page)
    assert not await Check.filter(head_sha=sha, number__not_isnull=True).exists()

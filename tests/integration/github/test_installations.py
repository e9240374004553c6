"""Where the app is installed and what it sees: as GitHub says it is, whatever was told of it and in which order."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from app import clock
from app.settings import Settings
from app.vcs.models import Connection, Installation, Repository
from github_app import api, app_api, client, installations
from github_app.api import Refused
from github_app.models import GitHubApp, LinkedAccount
from tests.github import connected, examples, messages
from tests.github.fake import GitHub, world
from tests.github.fake.calls import HANDLERS, Call, Reply
from tests.integration.github.scene import Scene, scene

__all__ = ["scene"]

#: Nothing here depends on the parts.
pytestmark = pytest.mark.parametrize("parts", ["embedded"], indirect=True)
LISTS = "GET /installation/repositories"


async def look(scene: Scene) -> Installation:
    found = await installations.look(scene.app, scene.installed.number)
    assert found is not None
    return found


async def seen(there: world.Repository) -> Repository:
    return await Repository.get(number=there.number)


async def test_an_installation_is_known_from_its_first_event(opened: Settings, github: GitHub) -> None:
    installed = github.add_app(next(github.numbers)).install("hub", selection="all")
    there = [installed.add_repository(f"r{number}", private=number > 0) for number in range(3)]
    there[1].archived = True
    scene = Scene(github, installed, there[0], await connected.register(installed.app), *[None] * 3)  # type: ignore[arg-type]
    delivery = await scene.hear("installation", messages.installation(installed, "created"))
    assert delivery.reason == "The installation in hub sees 2 repositories."
    row = await Installation.get(number=installed.number)
    assert (row.account_login, row.account_number, row.repository_selection) == ("hub", installed.account.number, "all")
    assert (row.permissions, row.events) == (installed.permissions, list(installed.app.events))
    assert row.html_url.endswith(f"/installations/{installed.number}")
    rows = {one.number: one for one in await Repository.filter(installation=row)}
    assert {one.number: (rows[one.number].full_name, rows[one.number].private) for one in there} == {
        there[0].number: ("hub/r0", False), there[1].number: ("hub/r1", True), there[2].number: ("hub/r2", True)
    }  # fmt: skip
    assert rows[there[1].number].lost == "hub/r1 is archived at GitHub, so nothing is pushed to it."
    again = await scene.hear("installation", messages.installation(installed, "created"))
    assert again.reason == delivery.reason
    assert await Installation.filter(number=installed.number).count() == 1
    await client.close()


async def test_suspended_and_back_is_looked_through_for_what_was_pushed(scene: Scene) -> None:
    await scene.follow("network")
    await Repository.filter(id=scene.repository.id).update(reconciled_at=clock.now())
    scene.installed.suspended_at = clock.now()
    told = await scene.hear("installation", messages.installation(scene.installed, "suspend"))
    assert "is suspended" in (told.reason or "")
    assert (await Installation.get(id=scene.installation.id)).suspended_at is not None
    with pytest.raises(Refused, match="is suspended"):
        await api.of(await Installation.get(id=scene.installation.id)).branch_head(scene.repository, "main")
    late = await scene.hear("installation", messages.installation(scene.installed, "unsuspend"))
    assert "is suspended" in (late.reason or "")
    scene.installed.suspended_at = None
    await scene.hear("installation", messages.installation(scene.installed, "unsuspend"))
    fresh = await Installation.get(id=scene.installation.id)
    assert (fresh.suspended_at, fresh.trouble) == (None, None)
    assert (await seen(scene.there)).reconciled_at is None
    late = await scene.hear("installation", messages.installation(scene.installed, "suspend"))
    assert late.reason == f"The installation in {fresh.account_login} sees 1 repository."


async def test_an_uninstalled_app_leaves_workspaces_that_say_so_and_a_new_installation_takes_over_when_linked(
    scene: Scene,
) -> None:
    workspace = await scene.follow("network")
    scene.installed.deleted = True
    body = messages.installation(scene.installed, "deleted")
    assert "was uninstalled from" in ((await scene.hear("installation", body)).reason or "")
    gone = await Installation.get(id=scene.installation.id)
    assert gone.deleted_at is not None
    assert (await scene.hear("installation", messages.installation(scene.installed, "created"))).state == "done"
    assert (await Installation.get(id=gone.id)).deleted_at == gone.deleted_at
    assert (await scene.hear("installation", messages.installation(scene.installed, "deleted"))).state == "done"

    anew = scene.installed.app.install(scene.installed.account.login)
    anew.repositories[scene.there.number] = scene.there
    await scene.hear("installation", messages.installation(anew, "created"))
    assert (await seen(scene.there)).installation_id == gone.id
    row = await Installation.get(number=anew.number)
    await connected.link(row, scene.organization)
    await installations.look(scene.app, anew.number)
    fresh = await seen(scene.there)
    assert (fresh.id, fresh.installation_id, fresh.lost) == (scene.repository.id, row.id, None)
    assert await Connection.filter(workspace_id=workspace.id, repository_id=fresh.id).exists()


async def test_new_permissions_are_used_at_once(scene: Scene) -> None:
    asked = api.of(scene.installation)
    assert await asked.branch_head(scene.repository, "main")
    scene.installed.permissions["contents"] = "write"
    del scene.installed.permissions["checks"]
    await scene.hear("installation", messages.installation(scene.installed, "new_permissions_accepted"))
    fresh = await Installation.get(id=scene.installation.id)
    assert fresh.permissions == scene.installed.permissions
    assert await api.of(fresh).branch_head(scene.repository, "main")


async def test_repositories_come_and_go_with_the_installation(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app_api, "PAGE", 2)
    more = [scene.installed.add_repository(f"more-{number}") for number in range(4)]
    added = messages.installation_repositories(scene.installed, added=more)
    assert (await scene.hear("installation_repositories", added)).reason == (
        f"The installation in {scene.installed.account.login} sees 5 repositories."
    )
    del scene.installed.repositories[more[0].number]
    await scene.hear("installation_repositories", messages.installation_repositories(scene.installed, removed=more[:1]))
    assert "does not see" in ((await seen(more[0])).lost or "")
    assert (await seen(more[1])).lost is None
    scene.installed.repositories[more[0].number] = more[0]
    await scene.hear("installation_repositories", messages.installation_repositories(scene.installed, removed=more[:1]))
    assert (await seen(more[0])).lost is None


async def test_a_list_that_does_not_come_whole_marks_nothing(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.installed.add_repository("second")
    await look(scene)
    whole = HANDLERS[LISTS].handler

    def part(call: Call) -> Reply:
        reply = whole(call)
        del reply.body["repositories"][0]
        return reply

    monkeypatch.setattr(HANDLERS[LISTS], "handler", part)
    with pytest.raises(app_api.Unreachable, match="1 of the 2 repositories"):
        await look(scene)
    assert await Repository.filter(installation_id=scene.installation.id, lost=None).count() == 2


async def test_a_repository_is_known_by_its_number_whatever_its_name(scene: Scene) -> None:
    there, name = scene.there, scene.there.full_name
    there.rename("renamed")
    there.default_branch = "trunk"
    await scene.hear("repository", messages.repository_event(there, "renamed", scene.installed))
    row = await seen(there)
    assert (row.id, row.full_name, row.default_branch) == (scene.repository.id, f"{there.owner.login}/renamed", "trunk")
    there.delete()
    again = scene.installed.add_repository("renamed")
    delivery = await scene.hear("repository", messages.repository_event(there, "deleted", scene.installed))
    assert delivery.reason == f"{there.full_name} was deleted at GitHub."
    assert (await seen(there)).lost == delivery.reason
    other = await seen(again)
    assert other.id != row.id
    assert (other.full_name, other.lost) == (there.full_name, None)
    assert name != other.full_name
    await look(scene)
    assert (await seen(there)).lost == delivery.reason


async def test_an_account_with_another_name_renames_its_repositories(scene: Scene) -> None:
    old = scene.installed.account.login
    scene.github.rename_account(old, f"{old}-new")
    await scene.hear("installation_target", messages.target_renamed(scene.installed, old))
    assert (await Installation.get(id=scene.installation.id)).account_login == f"{old}-new"
    assert (await seen(scene.there)).full_name == f"{old}-new/infra"


async def test_archived_private_and_public_are_noted_as_they_are(scene: Scene) -> None:
    workspace = await scene.follow("network")
    await Connection.filter(workspace_id=workspace.id).update(fork_policy="allow")
    scene.there.archived = True
    for action in ("archived", "unarchived"):  # the second comes too early, or the first too late
        await scene.hear("repository", messages.repository_event(scene.there, action, scene.installed))
        assert "is archived" in ((await seen(scene.there)).lost or "")
    scene.there.archived, scene.there.private = False, False
    told = await scene.hear("repository", messages.repository_event(scene.there, "publicized", scene.installed))
    assert "is public: 1 of its workspaces" in (told.reason or "")
    fresh = await seen(scene.there)
    assert (fresh.lost, fresh.private, fresh.reconciled_at) == (None, False, None)
    assert (await Connection.get(workspace_id=workspace.id)).fork_policy == "approve"
    scene.there.private = True
    await scene.hear("repository", messages.repository_event(scene.there, "privatized", scene.installed))
    assert (await seen(scene.there)).private


@pytest.mark.parametrize("private", [True, False])
async def test_a_transferred_repository_is_not_followed_to_its_new_owner(scene: Scene, private: bool) -> None:
    workspace = await scene.follow("network")
    scene.there.private = private
    theirs = scene.installed.app.install(f"evil-{scene.installed.number}")
    scene.there.transfer(theirs.account.login)
    theirs.repositories[scene.there.number] = scene.there
    if not private:  # found out by asking, before anything was told
        with pytest.raises(Refused, match="was transferred to evil"):
            await api.of(scene.installation).branch_head(scene.repository, "main")
    for action in ("transferred", "edited"):
        told = await scene.hear("repository", messages.repository_event(scene.there, action, theirs))
        assert f"was transferred to {theirs.account.login}" in (told.reason or "")
    row = await seen(scene.there)
    assert (row.lost, row.installation_id) == (told.reason, scene.installation.id)
    await look(scene)
    assert (await seen(scene.there)).lost == told.reason
    await Connection.filter(workspace_id=workspace.id).delete()
    await installations.look(scene.app, theirs.number)
    free = await seen(scene.there)
    assert (free.lost, free.full_name) == (None, scene.there.full_name)
    assert free.installation_id == (await Installation.get(number=theirs.number)).id


async def test_a_refresh_finds_what_no_delivery_told(scene: Scene) -> None:
    second = scene.installed.app.install(f"second-{scene.installed.number}")
    second.add_repository("b")
    third = scene.installed.app.install(f"third-{scene.installed.number}")
    await installations.refresh_due()
    assert await Installation.filter(app_id=scene.app.id, deleted_at=None).count() == 3
    third.deleted = True
    scene.github.requests.clear()
    assert await installations.refresh_due() == 0
    assert scene.github.requests == []
    await installations.refresh_soon(scene.app)
    scene.github.fail(502, f"/app/installations/{scene.installed.number}")
    await installations.refresh_due()
    assert (await Installation.get(number=third.number)).deleted_at is not None
    due = (await GitHubApp.get(id=scene.app.id)).refreshed_at
    assert due is not None
    assert due + installations.EVERY - clock.now() <= installations.SOON
    assert await installations.look(scene.app, 1) is None
    assert await installations.look(scene.app, 2**70) is None


@pytest.mark.parametrize("other", ["look", "call"])
async def test_what_was_seen_before_another_learned_more_is_not_written(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, other: str
) -> None:
    asked = app_api.repositories
    hold, go = asyncio.Event(), asyncio.Event()

    async def slow(*given: Any) -> Any:
        monkeypatch.setattr(app_api, "repositories", asked)
        answer = await asked(*given)
        hold.set()
        await go.wait()
        return answer

    monkeypatch.setattr(app_api, "repositories", slow)
    first = asyncio.create_task(look(scene))
    await hold.wait()
    scene.installed.suspended_at = clock.now()
    if other == "look":
        await look(scene)
    else:
        with pytest.raises(Refused, match="is suspended"):
            await api.of(scene.installation).branch_head(scene.repository, "main")
    scene.github.requests.clear()
    go.set()
    assert (await first).suspended_at is not None
    assert (await Installation.get(id=scene.installation.id)).suspended_at is not None
    assert scene.github.asked("GET /app/installations/{installation_id}")


async def test_who_takes_the_proof_back_is_linked_no_more(scene: Scene) -> None:
    def account(user_id: str, number: int) -> LinkedAccount:
        return LinkedAccount(
            app_id=scene.app.id, user_id=user_id, number=number, login="octocat", linked_at=clock.now()
        )

    await account("user-a", 7).save()
    body = {"action": "revoked", "sender": {"id": 7, "login": "octocat", "type": "User"}}
    delivery = await scene.hear("github_app_authorization", body)
    assert (delivery.state, await LinkedAccount.filter(app_id=scene.app.id).count()) == ("done", 0)
    await account("user-a", 7).save()
    await type(delivery).filter(id=delivery.id).update(state="failed")
    again = await scene.hear("github_app_authorization", body, guid=delivery.guid)
    assert (again.state, await LinkedAccount.filter(app_id=scene.app.id).count()) == ("ignored", 1)


async def test_githubs_own_examples_of_strangers_change_nothing(scene: Scene) -> None:
    before = (await Installation.all().count(), await Repository.all().count())
    kinds = ("installation", "installation_repositories", "repository", "github_app_authorization")
    different = {(event, body["action"]): body for event, body in examples.each() if event in kinds}
    for (event, action), body in different.items():
        delivery = await scene.hear(event, body)
        assert delivery.state == "ignored", (event, action, delivery.reason)
    assert (await Installation.all().count(), await Repository.all().count()) == before

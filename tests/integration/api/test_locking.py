from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from app import clock, events, organizations
from app.access.actors import SYSTEM
from app.errors import Unavailable
from app.organizations.models import Organization
from app.workspaces import locking
from app.workspaces.models import Workspace
from tests import factories
from tests.api import Client, attributes, error


@pytest.fixture
async def workspace(organization: Organization) -> Workspace:
    return await factories.make_workspace(organization, "net")


@pytest.fixture
async def colleague(anonymous: Client, organization: Organization) -> Client:
    bob = await factories.make_user("bob")
    await organizations.add_owner(SYSTEM, organization, bob)
    return await anonymous.as_user(bob)


@pytest.fixture
def freed() -> Iterator[list[str]]:
    """The ids of the workspaces that were announced as free."""
    heard: list[str] = []
    events.when_workspace_frees(heard.append)
    yield heard
    events.workspace_freed.forget()


def action(workspace: Workspace, name: str) -> str:
    return f"/workspaces/{workspace.id}/actions/{name}"


async def test_t22_a_lock_is_taken_though_the_type_is_empty(client: Client, workspace: Workspace) -> None:
    sent = {"data": {"type": "", "attributes": {"reason": "Locked by Terraform"}}}
    response = await client.post(action(workspace, "lock"), sent)
    assert response.status_code == 200
    assert attributes(response)["locked"] is True
    assert attributes(response)["locked-reason"] == "Locked by Terraform"
    assert response.json()["data"]["relationships"]["locked-by"]["data"]["type"] == "users"
    assert response.json()["data"]["relationships"]["organization"]["data"]["id"] == "acme"


async def test_a_reason_may_come_plain_or_not_at_all(client: Client, workspace: Workspace) -> None:
    assert attributes(await client.post(action(workspace, "lock"), {"reason": "plain"}))["locked-reason"] == "plain"
    await client.post(action(workspace, "unlock"))
    assert attributes(await client.post(action(workspace, "lock")))["locked-reason"] is None


async def test_a_reason_that_is_none_is_422(client: Client, workspace: Workspace) -> None:
    for reason in (5, ["x"], "x" * 1025):
        assert (await client.post(action(workspace, "lock"), {"reason": reason})).status_code == 422
    assert not attributes(await client.get(f"/workspaces/{workspace.id}"))["locked"]


async def test_who_holds_it_is_shown_and_included(client: Client, workspace: Workspace) -> None:
    await client.post(action(workspace, "lock"))
    response = await client.get(f"/workspaces/{workspace.id}", params={"include": "locked_by"})
    [holder] = response.json()["included"]
    assert holder["attributes"]["username"] == "alice"


async def test_nobody_locks_twice(client: Client, colleague: Client, workspace: Workspace) -> None:
    await client.post(action(workspace, "lock"))
    for who in (client, colleague):
        response = await who.post(action(workspace, "lock"))
        assert response.status_code == 409
        assert "is locked by User alice" in error(response)["detail"]


async def test_of_ten_that_lock_at_once_one_does(client: Client, workspace: Workspace) -> None:
    answers = await asyncio.gather(*(client.post(action(workspace, "lock")) for _ in range(10)))
    assert sorted(answer.status_code for answer in answers) == [200, *[409] * 9]


async def test_only_the_holder_unlocks(
    client: Client, colleague: Client, workspace: Workspace, freed: list[str]
) -> None:
    await client.post(action(workspace, "lock"))
    refused = await colleague.post(action(workspace, "unlock"))
    assert refused.status_code == 409
    assert "is locked by User alice" in error(refused)["detail"]
    assert freed == []
    response = await client.post(action(workspace, "unlock"))
    assert (response.status_code, attributes(response)["locked"]) == (200, False)
    assert freed == [workspace.id]


async def test_what_is_not_locked_cannot_be_unlocked(client: Client, workspace: Workspace, freed: list[str]) -> None:
    for name in ("unlock", "force-unlock"):
        response = await client.post(action(workspace, name))
        assert response.status_code == 409
        assert "already unlocked" in error(response)["detail"]
    assert freed == []


async def test_an_admin_takes_a_persons_lock_away(
    client: Client, colleague: Client, workspace: Workspace, freed: list[str]
) -> None:
    await client.post(action(workspace, "lock"))
    response = await colleague.post(action(workspace, "force-unlock"))
    assert (response.status_code, attributes(response)["locked"]) == (200, False)
    assert freed == [workspace.id]


async def test_a_runs_lock_is_left_alone_and_the_answer_says_what_ends_it(
    client: Client, workspace: Workspace, freed: list[str]
) -> None:
    await Workspace.filter(id=workspace.id).update(locked_by_run_id="run-abc", locked_at=clock.now())
    for name in ("lock", "unlock", "force-unlock"):
        response = await client.post(action(workspace, name))
        assert response.status_code == 409
        assert "is locked by Run run-abc" in error(response)["detail"]
        assert "force-cancel" in error(response)["detail"]
    for path in (f"/workspaces/{workspace.id}", "/organizations/acme/workspaces/net"):
        response = await client.delete(path)
        assert response.status_code == 409
        assert "is locked by Run run-abc" in error(response)["detail"]
    shown = await client.get(f"/workspaces/{workspace.id}")
    assert shown.json()["data"]["relationships"]["locked-by"]["data"] == {"type": "runs", "id": "run-abc"}
    assert freed == []


async def test_while_a_state_is_on_its_way_the_lock_stays_and_terraform_is_told_to_wait(
    client: Client, workspace: Workspace, freed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []

    async def pending(workspace: Workspace, forced: bool) -> None:
        asked.append(forced)
        if not forced:
            raise Unavailable("The latest state version is still pending.")

    monkeypatch.setattr(locking, "_before_unlock", [pending])
    await client.post(action(workspace, "lock"))
    response = await client.post(action(workspace, "unlock"))
    assert response.status_code == 503
    assert "latest state version is still pending" in error(response)["detail"]
    assert attributes(await client.get(f"/workspaces/{workspace.id}"))["locked"] is True
    assert freed == []
    assert (await client.post(action(workspace, "force-unlock"))).status_code == 200
    assert asked == [False, True]

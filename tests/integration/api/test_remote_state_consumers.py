from __future__ import annotations

from typing import Any

import pytest

from app.organizations.models import Organization
from app.workspaces.models import Workspace
from tests import factories
from tests.api import Client, document


@pytest.fixture
async def workspaces(organization: Organization) -> dict[str, Workspace]:
    return {name: await factories.make_workspace(organization, name) for name in ("a", "b", "c")}


def path(workspace: Workspace) -> str:
    return f"/workspaces/{workspace.id}/relationships/remote-state-consumers"


def these(*ids: str) -> dict[str, Any]:
    return {"data": [{"type": "workspaces", "id": id} for id in ids]}


async def names(client: Client, workspace: Workspace) -> list[str]:
    return [one["attributes"]["name"] for one in (await client.get(path(workspace))).json()["data"]]


async def close(client: Client, workspace: Workspace) -> None:
    sent = document("workspaces", {"global-remote-state": False})
    assert (await client.patch(f"/workspaces/{workspace.id}", sent)).status_code == 200


async def test_an_open_state_is_read_by_every_other_workspace(client: Client, workspaces: dict[str, Workspace]) -> None:
    assert await names(client, workspaces["a"]) == ["b", "c"]
    assert (await client.post(path(workspaces["a"]), these(workspaces["b"].id))).status_code == 422


async def test_consumers_are_named_taken_away_and_replaced(client: Client, workspaces: dict[str, Workspace]) -> None:
    a, b, c = workspaces.values()
    await close(client, a)
    assert await names(client, a) == []
    for _ in range(2):
        assert (await client.post(path(a), these(b.id))).status_code == 204
    assert await names(client, a) == ["b"]
    assert (await client.patch(path(a), these(c.id))).status_code == 204
    assert await names(client, a) == ["c"]
    for _ in range(2):
        assert (await client.delete(path(a), these(c.id))).status_code == 204
    assert await names(client, a) == []
    assert (await client.patch(path(a), {"data": []})).status_code == 204


async def test_a_consumer_must_be_another_workspace_of_the_organization(
    client: Client, stranger: Client, workspaces: dict[str, Workspace]
) -> None:
    a, b, _ = workspaces.values()
    await close(client, a)
    made = await stranger.post("/organizations/evil/workspaces", document("workspaces", {"name": "theirs"}))
    for id in (a.id, made.json()["data"]["id"], "ws-none", "x" * 300):
        assert (await client.post(path(a), these(b.id, id))).status_code == 422
        assert (await client.patch(path(a), these(b.id, id))).status_code == 422
    bodies: list[Any] = [{}, {"data": {}}, {"data": [{"type": "runs", "id": "x"}]}, {"data": [{"type": "workspaces"}]}]
    for body in bodies:
        assert (await client.post(path(a), body)).status_code == 422
    assert await names(client, a) == []

from __future__ import annotations

from typing import Any

import pytest

from app.organizations.models import Organization
from app.workspaces.models import Workspace
from tests import factories
from tests.api import Client, attributes, document

PATH = "/organizations/acme/workspaces"


@pytest.fixture
async def workspace(organization: Organization) -> Workspace:
    return await factories.make_workspace(organization, "net")


async def names(client: Client, workspace: Workspace) -> list[str]:
    found: list[str] = attributes(await client.get(f"/workspaces/{workspace.id}"))["tag-names"]
    return found


async def bindings(client: Client, workspace: Workspace) -> dict[str, str]:
    response = await client.get(f"/workspaces/{workspace.id}/tag-bindings")
    return {one["attributes"]["key"]: one["attributes"]["value"] for one in response.json()["data"]}


async def test_a_workspace_is_made_with_a_set_of_tags(client: Client) -> None:
    relations = {"tags": {"data": [{"type": "tags", "attributes": {"name": name}} for name in ("net", "app")]}}
    made = await client.post(PATH, document("workspaces", {"name": "w1"}, relations))
    assert made.status_code == 201
    assert attributes(made)["tag-names"] == ["app", "net"]


async def test_a_workspace_is_made_with_a_map_of_tags_and_the_keys_are_its_tag_names(client: Client) -> None:
    sent = [{"type": "tag-bindings", "attributes": {"key": "env", "value": "dev"}}]
    sent += [{"type": "tag-bindings", "attributes": {"key": "flat"}}]
    made = await client.post(PATH, document("workspaces", {"name": "w1"}, {"tag-bindings": {"data": sent}}))
    assert made.status_code == 201
    assert attributes(made)["tag-names"] == ["env", "flat"]
    shown = await client.get(f"/workspaces/{made.json()['data']['id']}/tag-bindings")
    found = {one["attributes"]["key"]: one["attributes"]["value"] for one in shown.json()["data"]}
    assert found == {"env": "dev", "flat": ""}


async def test_new_clients_patch_an_array_of_bindings_which_adds(client: Client, workspace: Workspace) -> None:
    path = f"/workspaces/{workspace.id}/tag-bindings"
    await client.patch(path, {"data": [{"type": "tag-bindings", "attributes": {"key": "a"}}]})
    sent = [{"type": "tag-bindings", "attributes": {"key": "env", "value": "dev"}}]
    response = await client.patch(path, {"data": sent})
    assert response.status_code == 200
    assert [one["type"] for one in response.json()["data"]] == ["tag-bindings", "tag-bindings"]
    assert await bindings(client, workspace) == {"a": "", "env": "dev"}
    assert await names(client, workspace) == ["a", "env"]
    sent[0]["attributes"] = {"key": "env", "value": "prod"}
    await client.patch(path, {"data": sent})
    assert await bindings(client, workspace) == {"a": "", "env": "prod"}


async def test_old_clients_post_names_which_adds_and_keeps_values(client: Client, workspace: Workspace) -> None:
    await client.patch(
        f"/workspaces/{workspace.id}/tag-bindings",
        {"data": [{"type": "tag-bindings", "attributes": {"key": "env", "value": "dev"}}]},
    )
    path = f"/workspaces/{workspace.id}/relationships/tags"
    sent = {"data": [{"type": "tags", "attributes": {"name": name}} for name in ("env", "app")]}
    for _ in range(2):
        assert (await client.post(path, sent)).status_code == 204
    assert await bindings(client, workspace) == {"app": "", "env": "dev"}
    assert [one["attributes"]["name"] for one in (await client.get(path)).json()["data"]] == ["app", "env"]


async def test_tags_go_by_name_and_by_id(client: Client, workspace: Workspace) -> None:
    path = f"/workspaces/{workspace.id}/relationships/tags"
    sent = {"data": [{"type": "tags", "attributes": {"name": name}} for name in ("a", "b", "c")]}
    await client.post(path, sent)
    by_id = (await client.get(path)).json()["data"][0]["id"]
    gone = {"data": [{"type": "tags", "id": by_id}, {"type": "tags", "attributes": {"name": "b"}}]}
    assert (await client.delete(path, gone)).status_code == 204
    assert (await client.delete(path, {"data": [{"type": "tags", "attributes": {"name": "b"}}]})).status_code == 204
    assert await names(client, workspace) == ["c"]


async def test_an_update_replaces_the_bindings(client: Client, workspace: Workspace) -> None:
    for tags in ({"a": "1", "b": ""}, {"c": "2"}, {}):
        data = [{"type": "tag-bindings", "attributes": {"key": k, "value": v}} for k, v in tags.items()]
        sent = document("workspaces", {}, {"tag-bindings": {"data": data}})
        assert (await client.patch(f"/workspaces/{workspace.id}", sent)).status_code == 200
        assert await bindings(client, workspace) == tags


async def test_a_wrong_tag_is_422_and_nothing_is_changed(client: Client, workspace: Workspace) -> None:
    id = f"/workspaces/{workspace.id}"
    wrong: list[Any] = ["", "a b", "x" * 256, "ä", 5, None, ["a"]]
    for key in wrong:
        binding = {"data": [{"type": "tag-bindings", "attributes": {"key": key}}]}
        assert (await client.patch(f"{id}/tag-bindings", binding)).status_code == 422, key
        flat = {"data": [{"type": "tags", "attributes": {"name": key}}]}
        assert (await client.post(f"{id}/relationships/tags", flat)).status_code == 422, key
    bodies: list[Any] = [
        {"data": {}},
        {"data": [5]},
        {"data": [{"type": "runs"}]},
        {},
        {"data": [{"type": "tags"}]},
        [],
    ]
    for body in bodies:
        assert (await client.patch(f"{id}/tag-bindings", body)).status_code in (400, 422), body
        assert (await client.post(f"{id}/relationships/tags", body)).status_code in (400, 422), body
    value = {"data": [{"type": "tag-bindings", "attributes": {"key": "a", "value": "x" * 257}}]}
    assert (await client.patch(f"{id}/tag-bindings", value)).status_code == 422
    reserved = {"data": [{"type": "tag-bindings", "attributes": {"key": "hcp:a"}}]}
    assert (await client.patch(f"{id}/tag-bindings", reserved)).status_code == 422
    assert await names(client, workspace) == []


async def test_a_workspace_has_a_hundred_tags_at_most(client: Client, workspace: Workspace) -> None:
    path = f"/workspaces/{workspace.id}/tag-bindings"
    many = {"data": [{"type": "tag-bindings", "attributes": {"key": f"k{number}"}} for number in range(101)]}
    assert (await client.patch(path, many)).status_code == 422
    many["data"].pop()
    assert (await client.patch(path, many)).status_code == 200


async def test_what_holds_for_a_workspace_is_its_own(client: Client, workspace: Workspace) -> None:
    path = f"/workspaces/{workspace.id}"
    await client.patch(f"{path}/tag-bindings", {"data": [{"type": "tag-bindings", "attributes": {"key": "a"}}]})
    [one] = (await client.get(f"{path}/effective-tag-bindings")).json()["data"]
    assert (one["type"], one["attributes"]) == ("effective-tag-bindings", {"key": "a", "value": ""})
    included = (await client.get(path, params={"include": "effective_tag_bindings"})).json()["included"]
    assert [item["type"] for item in included] == ["effective-tag-bindings"]

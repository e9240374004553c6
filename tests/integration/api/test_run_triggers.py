from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest

from app import workspaces
from app.access.actors import SYSTEM
from app.access.models import User
from app.organizations.models import Organization
from app.runs.models import RunTrigger
from app.workspaces.models import Workspace
from tests import factories
from tests.api import Client, attributes, document, error, pointer


@pytest.fixture
async def network(organization: Organization) -> Workspace:
    return await factories.make_workspace(organization, "network")


@pytest.fixture
async def app(organization: Organization) -> Workspace:
    return await factories.make_workspace(organization, "app")


async def connect(client: Client, source: Workspace, target: Workspace) -> httpx2.Response:
    related = {"sourceable": {"data": {"type": "workspaces", "id": source.id}}}
    return await client.post(f"/workspaces/{target.id}/run-triggers", document("run-triggers", None, related))


def of(workspace: Workspace, type: str, **more: str) -> tuple[str, dict[str, Any]]:
    return f"/workspaces/{workspace.id}/run-triggers", {"params": {"filter[run-trigger][type]": type, **more}}


async def test_a_trigger_is_made_shown_listed_and_deleted(client: Client, network: Workspace, app: Workspace) -> None:
    made = await connect(client, network, app)
    assert made.status_code == 201
    id = made.json()["data"]["id"]
    assert id.startswith("rt-")
    shown = await client.get(f"/run-triggers/{id}")
    assert shown.json() == made.json()
    assert attributes(shown) == {
        "workspace-name": "app",
        "sourceable-name": "network",
        "created-at": attributes(shown)["created-at"],
    }
    related = shown.json()["data"]["relationships"]
    assert related["workspace"]["data"] == {"type": "workspaces", "id": app.id}
    assert related["sourceable"]["data"] == {"type": "workspaces", "id": network.id}

    path, asked = of(app, "inbound", include="workspace,sourceable")
    listed = (await client.get(path, **asked)).json()
    assert [one["id"] for one in listed["data"]] == [id]
    assert {one["attributes"]["name"] for one in listed["included"]} == {"app", "network"}
    assert listed["meta"]["pagination"]["total-count"] == 1
    for workspace, type, expected in ((network, "outbound", [id]), (network, "inbound", []), (app, "outbound", [])):
        path, asked = of(workspace, type)
        assert [one["id"] for one in (await client.get(path, **asked)).json()["data"]] == expected
    assert (await client.delete(f"/run-triggers/{id}")).status_code == 204
    assert (await client.get(f"/run-triggers/{id}")).status_code == 404
    assert (await client.delete(f"/run-triggers/{id}")).status_code == 404


async def test_a_list_needs_to_know_which_side(client: Client, app: Workspace) -> None:
    assert (await client.get(f"/workspaces/{app.id}/run-triggers")).status_code == 400
    path, asked = of(app, "sideways")
    assert "inbound, or outbound" in error(await client.get(path, **asked))["detail"]


async def test_the_same_trigger_is_there_once(client: Client, network: Workspace, app: Workspace) -> None:
    answers = await asyncio.gather(*(connect(client, network, app) for _ in range(4)))
    assert sorted(one.status_code for one in answers) == [201, 422, 422, 422]
    again = await connect(client, network, app)
    assert pointer(again) == "/data/relationships/sourceable"
    assert "network triggers runs of app already" in error(again)["detail"]


async def test_what_would_never_end_is_refused_and_named(
    client: Client, organization: Organization, network: Workspace, app: Workspace
) -> None:
    itself = await connect(client, app, app)
    assert pointer(itself) == "/data/relationships/sourceable"
    assert "cannot trigger itself" in error(itself)["detail"]
    web = await factories.make_workspace(organization, "web")
    assert (await connect(client, network, app)).status_code == 201
    assert (await connect(client, app, web)).status_code == 201
    closing = await connect(client, web, network)
    assert pointer(closing) == "/data/relationships/sourceable"
    assert "network → app → web → network" in error(closing)["detail"]
    back = await connect(client, app, network)
    assert "network → app → network" in error(back)["detail"]
    assert (await connect(client, network, web)).status_code == 201  # a shortcut is no circle
    await workspaces.delete(SYSTEM, app)
    assert "network → web → network" in error(await connect(client, web, network))["detail"]


async def test_two_halves_of_a_circle_at_once_do_not_close_it(
    client: Client, network: Workspace, app: Workspace
) -> None:
    answers = await asyncio.gather(connect(client, network, app), connect(client, app, network))
    assert sorted(one.status_code for one in answers) == [201, 422]


async def test_a_workspace_has_twenty_sources_at_most(
    client: Client, organization: Organization, app: Workspace
) -> None:
    sources = [await factories.make_workspace(organization, f"source{number}") for number in range(21)]
    for source in sources[:20]:
        await factories.make_run_trigger(source, app)
    refused = await connect(client, sources[20], app)
    assert "has 20 run triggers" in error(refused)["detail"]
    await workspaces.delete(SYSTEM, sources[0])
    assert (await connect(client, sources[20], app)).status_code == 201


async def test_another_organizations_workspaces_are_not_found(
    client: Client, stranger: Client, owner: User, network: Workspace, app: Workspace
) -> None:
    foreign = await factories.make_workspace(await factories.make_organization())
    assert (await connect(client, foreign, app)).status_code == 404
    assert (await connect(client, app, foreign)).status_code == 404
    both = await factories.make_organization("both", owner=owner)
    elsewhere = await factories.make_workspace(both)
    alice = await client.as_user(owner)  # who belongs to both
    refused = await connect(alice, elsewhere, app)
    assert (refused.status_code, "in this organization" in refused.text) == (404, True)
    trigger = await factories.make_run_trigger(network, app)
    for method in ("GET", "DELETE"):
        assert (await stranger.request(method, f"/run-triggers/{trigger.id}")).status_code == 404
    path, asked = of(app, "inbound")
    assert (await stranger.get(path, **asked)).status_code == 404
    assert await RunTrigger.all().count() == 1


async def test_bad_documents_are_refused(client: Client, app: Workspace) -> None:
    path = f"/workspaces/{app.id}/run-triggers"
    assert pointer(await client.post(path, document("run-triggers"))) == "/data/relationships/sourceable"
    for data in (None, {"type": "workspaces", "id": "ws-none"}):
        related = {"sourceable": {"data": data}}
        assert (await client.post(path, document("run-triggers", None, related))).status_code == 404
    wrong = {"sourceable": {"data": {"type": "runs", "id": "run-x"}}}
    assert (await client.post(path, document("run-triggers", None, wrong))).status_code == 422


async def test_a_triggered_run_names_the_run_and_the_workspace_it_followed(
    client: Client, network: Workspace, app: Workspace
) -> None:
    await factories.make_configuration_version(app, auto_queue_runs=False)
    await factories.make_run_trigger(network, app)
    source = await factories.apply(await factories.make_run(network, auto_apply=True))
    [listed] = (await client.get(f"/workspaces/{app.id}/runs", params={"filter[source]": "tfe-run-trigger"})).json()[
        "data"
    ]
    shown = await client.get(f"/runs/{listed['id']}", params={"include": "triggering-source,triggering_run"})
    said = attributes(shown)
    assert (said["source"], said["trigger-reason"]) == ("tfe-run-trigger", "run_trigger")
    assert said["triggering-source-name"] == "network"
    assert said["message"] == f"Triggered by {source.id} of the workspace network"
    related = shown.json()["data"]["relationships"]
    assert related["triggering-source"]["data"] == {"type": "workspaces", "id": network.id}
    assert related["triggering-run"]["data"] == {"type": "runs", "id": source.id}
    assert related["created-by"]["data"] is None
    assert {one["id"] for one in shown.json()["included"]} == {network.id, source.id}
    first = attributes(await client.get(f"/runs/{source.id}"))
    assert (first["triggering-source-name"], first["trigger-reason"]) == (None, "manual")

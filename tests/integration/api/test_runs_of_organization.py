"""The runs of an organization in one list."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from app import clock
from app.configurations.models import IngressAttributes
from app.organizations.models import Organization
from app.runs.models import Run
from app.workspaces.models import Workspace
from tests import factories
from tests.api import Client, error

PATH = "/organizations/acme/runs"


async def ids(client: Client, path: str = PATH, **params: str) -> list[str]:
    listed = await client.get(path, params={name.replace("__", "[") + "]": value for name, value in params.items()})
    assert listed.status_code == 200, listed.text
    return [run["id"] for run in listed.json()["data"]]


async def committed(workspace: Workspace, sha: str, sender: str) -> Run:
    version = await factories.make_configuration_version(workspace)
    await IngressAttributes.create(
        id=f"ia-{sha[:16]}",
        configuration_version_id=version.id,
        commit_sha=sha,
        identifier="acme/net",
        sender_username=sender,
    )
    return await factories.make_run(workspace, configuration_version=version, message=f"commit of {sender}")


async def test_it_has_every_workspace_the_newest_first_and_no_total(
    client: Client, stranger: Client, organization: Organization
) -> None:
    net, app = await factories.make_workspace(organization, "net"), await factories.make_workspace(organization, "app")
    made = [await factories.make_run(workspace) for workspace in (net, app, net)]
    await factories.make_run(net, speculative=True)
    await factories.make_run()  # another organization's
    gone = await factories.make_run(await factories.make_workspace(organization, "gone"))
    await Workspace.filter(id=gone.workspace_id).update(deleted_at=clock.now())
    newest = [run.id for run in reversed(made)]
    first = (await client.get(PATH, params={"page[size]": "2", "include": "workspace"})).json()
    assert [run["id"] for run in first["data"]] == newest[:2]
    assert first["meta"]["pagination"] == {"current-page": 1, "page-size": 2, "prev-page": None, "next-page": 2}
    assert {one["attributes"]["name"] for one in first["included"]} == {"net", "app"}
    second = (await client.get(PATH, params={"page[size]": "2", "page[number]": "2"})).json()
    assert [run["id"] for run in second["data"]] == newest[2:]
    assert second["meta"]["pagination"]["next-page"] is None
    assert (await stranger.get(PATH)).status_code == 404


async def test_it_is_narrowed_as_that_of_a_workspace_is(client: Client, organization: Organization) -> None:
    net, app = await factories.make_workspace(organization, "net"), await factories.make_workspace(organization, "app")
    first, behind = await committed(net, "a1" * 20, "octocat"), await committed(net, "b2" * 20, "hubot")
    other = await factories.make_run(app, source="tfe-ui")
    plan = await factories.make_run(app, speculative=True)
    for narrowed, found in (
        ({"filter__operation": "plan_only"}, [plan]),
        ({"filter__operation": "plan_only,plan_and_apply"}, [plan, other, behind, first]),
        ({"filter__status": "pending"}, [behind]),
        ({"filter__status_group": "discardable"}, [behind]),
        ({"filter__source": "tfe-ui"}, [other]),
        ({"filter__workspace_names": "app,nowhere"}, [other]),
        ({"filter__agent_pool_names": "pool"}, []),
        ({"search__commit": "B2b2"}, [behind]),
        ({"search__user": "octo"}, [first]),
        ({"search__basic": "hubot"}, [behind]),
        ({"search__basic": first.id}, [first]),
        ({"search__basic": "hubot", "search__user": "octo"}, [first]),
    ):
        assert await ids(client, **narrowed) == [run.id for run in found], narrowed
    assert await ids(client, f"/workspaces/{net.id}/runs", search__commit="b2b2") == [behind.id]


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_it_goes_a_year_back_unless_another_is_named(client: Client, organization: Organization) -> None:
    workspace = await factories.make_workspace(organization)
    new, old, older = [await factories.make_run(workspace) for _ in range(3)]
    await Run.filter(id=old.id).update(created_at=clock.now() - timedelta(days=366))
    await Run.filter(id=older.id).update(created_at=datetime(2019, 12, 31, 23, 59, 59, tzinfo=UTC))
    assert await ids(client) == await ids(client, filter__timeframe="year") == [new.id]
    assert await ids(client, filter__timeframe="2019") == [older.id]
    assert await ids(client, filter__timeframe="2020") == []
    every = await ids(client, f"/workspaces/{workspace.id}/runs")
    assert every == [older.id, old.id, new.id]
    for nonsense in ("month", "0", "20260", "9999"):
        refused = await client.get(PATH, params={"filter[timeframe]": nonsense})
        assert (refused.status_code, error(refused)["source"]) == (422, {"parameter": "filter[timeframe]"})

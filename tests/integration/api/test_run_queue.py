"""Why a run waits and where it stands, as clients of the API are told."""

from __future__ import annotations

import pytest

from app import workspaces
from app.access.models import User
from app.jobs import claims, workers
from app.organizations.models import Organization
from app.runs.models import Run
from tests import factories
from tests.api import Client, attributes
from tests.integration.crowd import crowd

TOOLS = {"terraform/1.11.4"}


async def waiting_for(client: Client, run: Run) -> dict[str, object] | None:
    told: dict[str, object] | None = attributes(await client.get(f"/runs/{run.id}"))["waiting-for"]
    return told


async def test_each_run_that_waits_says_why(client: Client, owner: User, organization: Organization) -> None:
    await workers.register("wrk-1", "one", 1, TOOLS)
    workspace = await factories.make_workspace(organization, "net")
    first, second = await factories.make_run(workspace, message="the first"), await factories.make_run(workspace)
    told = await waiting_for(client, second)
    assert told is not None
    assert told["sentence"] == "Waiting for ‘the first’, which is plan queued."
    assert (told["reason"], told["ahead"]) == ("behind-running", 1)
    told = await waiting_for(client, first)
    assert told is not None
    assert told["sentence"] == "Waiting for a worker; 1st in line."
    assert (told["reason"], told["ahead"]) == ("slots", 0)
    assert await claims.claim("wrk-1", TOOLS) is not None
    assert await waiting_for(client, first) is None

    locked = await factories.make_workspace(organization, "locked")
    await workspaces.lock(await factories.actor_of(owner), locked, "maintenance")
    held = await factories.make_run(locked, speculative=True)
    told = await waiting_for(client, held)
    assert told is not None
    assert (told["reason"], told["sentence"]) == ("locked", "Locked by User alice: ‘maintenance’.")
    assert told["since"] is not None
    listed = await client.get(f"/workspaces/{workspace.id}/runs")
    reasons = [run["attributes"]["waiting-for"] for run in listed.json()["data"]]
    assert [reason and reason["reason"] for reason in reasons] == ["behind-running", None]


async def test_position_less_what_runs_is_the_place_in_line(client: Client, organization: Organization) -> None:
    """This is how terraform reckons what it prints."""
    await workers.register("wrk-1", "one", 2, TOOLS)
    await crowd(organization, 5)
    for _ in range(2):
        await claims.claim("wrk-1", TOOLS)
    capacity = attributes(await client.get("/organizations/acme/capacity"))
    assert capacity == {"running": 2, "pending": 3}
    queue = (await client.get("/organizations/acme/runs/queue")).json()["data"]
    assert [run["attributes"]["position-in-queue"] for run in queue] == [1, 2, 3, 4, 5]
    ahead = [run["attributes"]["waiting-for"] and run["attributes"]["waiting-for"]["ahead"] for run in queue]
    assert ahead == [None, None, 0, 1, 2]
    assert queue[2]["attributes"]["waiting-for"]["sentence"] == "All 2 slots of 1 worker are busy; 1st in line."


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_a_stranger_sees_no_queue(stranger: Client) -> None:
    for path in ("capacity", "runs/queue"):
        assert (await stranger.get(f"/organizations/acme/{path}")).status_code == 404

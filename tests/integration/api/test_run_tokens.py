"""What a run can do with its token: the whole route table, against its own workspace and everybody else's."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from hashlib import md5
from typing import Any

import pytest

from app import asgi, runs, workspaces
from app.access import run_tokens
from app.access.actors import SYSTEM
from app.access.models import RunToken, User
from app.jobs import claims
from app.jobs.claims import Claimed
from app.jobs.models import Job
from app.organizations.models import Organization
from app.runs.models import Run
from app.settings import Settings
from app.variables.models import Variable
from app.workspaces.models import Workspace
from tests import factories
from tests.api import Client, attributes, document, error

#: Routes a run may call, and what it gets in a plan for: its own workspace, one that shares its state, one of its
#: organization that does not, one of another organization.
CAGE: dict[str, tuple[int, int, int, int]] = {
    "GET /api/v2/": (204, 204, 204, 204),
    "GET /api/v2/ping": (204, 204, 204, 204),
    "GET /api/v2/organizations/{organization}/entitlement-set": (200, 200, 200, 404),
    "GET /api/v2/organizations/{organization}/workspaces/{name}": (200, 200, 404, 404),
    "GET /api/v2/workspaces/{id}": (200, 200, 404, 404),
    "POST /api/v2/workspaces/{id}/actions/lock": (200, 403, 404, 404),
    "POST /api/v2/workspaces/{id}/actions/unlock": (200, 403, 404, 404),
    "GET /api/v2/workspaces/{id}/current-state-version": (200, 200, 404, 404),
    "GET /api/v2/workspaces/{id}/current-state-version-outputs": (200, 200, 404, 404),
    "POST /api/v2/workspaces/{id}/state-versions": (403, 403, 404, 404),
    "GET /api/v2/state-versions/{id}": (200, 200, 404, 404),
    "GET /api/v2/state-versions/{id}/outputs": (200, 200, 404, 404),
    "GET /api/v2/state-version-outputs/{id}": (200, 200, 404, 404),
}

#: Routes it is turned away from, whatever it asks for.  A new route of the API belongs here or above.
REFUSED = [
    "GET /api/v2/account/details",
    "GET /api/v2/users/{id}",
    "GET /api/v2/users/{id}/authentication-tokens",
    "POST /api/v2/users/{id}/authentication-tokens",
    "GET /api/v2/authentication-tokens/{id}",
    "DELETE /api/v2/authentication-tokens/{id}",
    "GET /api/v2/organizations",
    "POST /api/v2/organizations",
    "GET /api/v2/organizations/{organization}",
    "PATCH /api/v2/organizations/{organization}",
    "PUT /api/v2/organizations/{organization}",
    "DELETE /api/v2/organizations/{organization}",
    "GET /api/v2/organizations/{organization}/capacity",
    "GET /api/v2/github-app/installations",
    "GET /api/v2/github-app/installation/{id}",
    "GET /api/v2/workspaces/{id}/fork-commits",
    "GET /api/v2/fork-commits/{id}",
    "POST /api/v2/fork-commits/{id}/actions/approve",
    "GET /api/v2/organizations/{organization}/projects",
    "POST /api/v2/organizations/{organization}/projects",
    "GET /api/v2/organizations/{organization}/runs",
    "GET /api/v2/organizations/{organization}/runs/queue",
    "GET /api/v2/organizations/{organization}/workspaces",
    "POST /api/v2/organizations/{organization}/workspaces",
    "PATCH /api/v2/organizations/{organization}/workspaces/{name}",
    "DELETE /api/v2/organizations/{organization}/workspaces/{name}",
    "POST /api/v2/organizations/{organization}/workspaces/{name}/actions/safe-delete",
    "GET /api/v2/projects/{id}",
    "PATCH /api/v2/projects/{id}",
    "DELETE /api/v2/projects/{id}",
    "PATCH /api/v2/workspaces/{id}",
    "DELETE /api/v2/workspaces/{id}",
    "POST /api/v2/workspaces/{id}/actions/safe-delete",
    "POST /api/v2/workspaces/{id}/actions/force-unlock",
    "GET /api/v2/workspaces/{id}/vars",
    "GET /api/v2/workspaces/{id}/all-vars",
    "POST /api/v2/workspaces/{id}/vars",
    "GET /api/v2/workspaces/{id}/vars/{variable}",
    "PATCH /api/v2/workspaces/{id}/vars/{variable}",
    "DELETE /api/v2/workspaces/{id}/vars/{variable}",
    "PATCH /api/v2/workspaces/{id}/relationships/vars",
    "GET /api/v2/vars",
    "POST /api/v2/vars",
    "PATCH /api/v2/vars/{variable}",
    "DELETE /api/v2/vars/{variable}",
    "GET /api/v2/workspaces/{id}/run-triggers",
    "POST /api/v2/workspaces/{id}/run-triggers",
    "GET /api/v2/run-triggers/{id}",
    "DELETE /api/v2/run-triggers/{id}",
    "GET /api/v2/workspaces/{id}/varsets",
    "GET /api/v2/workspaces/{id}/applicable-varsets",
    "GET /api/v2/workspaces/{id}/varsets/{varset}/relationships/vars",
    "GET /api/v2/workspaces/{id}/varsets/{varset}/relationships/vars/{variable}",
    "GET /api/v2/organizations/{organization}/varsets",
    "POST /api/v2/organizations/{organization}/varsets",
    "GET /api/v2/projects/{id}/varsets",
    "GET /api/v2/varsets/{id}",
    "PATCH /api/v2/varsets/{id}",
    "PUT /api/v2/varsets/{id}",
    "POST /api/v2/varsets/{id}",
    "DELETE /api/v2/varsets/{id}",
    "GET /api/v2/varsets/{id}/relationships/vars",
    "POST /api/v2/varsets/{id}/relationships/vars",
    "GET /api/v2/varsets/{id}/relationships/vars/{variable}",
    "PATCH /api/v2/varsets/{id}/relationships/vars/{variable}",
    "DELETE /api/v2/varsets/{id}/relationships/vars/{variable}",
    "POST /api/v2/varsets/{id}/relationships/workspaces",
    "DELETE /api/v2/varsets/{id}/relationships/workspaces",
    "POST /api/v2/varsets/{id}/relationships/projects",
    "DELETE /api/v2/varsets/{id}/relationships/projects",
    "POST /api/v2/varsets/{id}/relationships/stacks",
    "DELETE /api/v2/varsets/{id}/relationships/stacks",
    "GET /api/v2/workspaces/{id}/relationships/tags",
    "POST /api/v2/workspaces/{id}/relationships/tags",
    "DELETE /api/v2/workspaces/{id}/relationships/tags",
    "GET /api/v2/workspaces/{id}/tag-bindings",
    "PATCH /api/v2/workspaces/{id}/tag-bindings",
    "GET /api/v2/workspaces/{id}/effective-tag-bindings",
    "GET /api/v2/workspaces/{id}/relationships/remote-state-consumers",
    "POST /api/v2/workspaces/{id}/relationships/remote-state-consumers",
    "DELETE /api/v2/workspaces/{id}/relationships/remote-state-consumers",
    "PATCH /api/v2/workspaces/{id}/relationships/remote-state-consumers",
    "GET /api/v2/workspaces/{id}/configuration-versions",
    "POST /api/v2/workspaces/{id}/configuration-versions",
    "GET /api/v2/configuration-versions/{id}",
    "POST /api/v2/configuration-versions/{id}/actions/archive",
    "GET /api/v2/configuration-versions/{id}/ingress-attributes",
    "GET /api/v2/configuration-versions/{id}/download",
    "GET /api/v2/workspaces/{id}/runs",
    "POST /api/v2/runs",
    "GET /api/v2/runs/{id}",
    "GET /api/v2/runs/{id}/run-events",
    "GET /api/v2/run-events/{id}",
    "GET /api/v2/runs/{id}/comments",
    "POST /api/v2/runs/{id}/comments",
    "GET /api/v2/comments/{id}",
    "POST /api/v2/runs/{id}/actions/apply",
    "POST /api/v2/runs/{id}/actions/discard",
    "POST /api/v2/runs/{id}/actions/cancel",
    "POST /api/v2/runs/{id}/actions/force-cancel",
    "POST /api/v2/runs/{id}/actions/force-execute",
    "GET /api/v2/plans/{id}",
    "GET /api/v2/plans/{id}/json-output",
    "GET /api/v2/plans/{id}/json-output-redacted",
    "GET /api/v2/plans/{id}/json-schema",
    "GET /api/v2/applies/{id}",
    "GET /api/v2/applies/{id}/errored-state",
    "GET /api/v2/state-versions",
    "GET /api/v2/admin/organizations/{organization}",
    "PATCH /api/v2/admin/organizations/{organization}",
    "GET /api/v2/admin/terraform-versions",
    "POST /api/v2/admin/terraform-versions",
    "GET /api/v2/admin/terraform-versions/{id}",
    "PATCH /api/v2/admin/terraform-versions/{id}",
    "DELETE /api/v2/admin/terraform-versions/{id}",
    "PATCH /api/v2/workspaces/{id}/state-versions",
    "POST /api/v2/state-versions/{id}/actions/soft_delete_backing_data",
    "POST /api/v2/state-versions/{id}/actions/restore_backing_data",
    "POST /api/v2/state-versions/{id}/actions/permanently_delete_backing_data",
]

LINEAGE = "11111111-2222-3333-4444-555555555555"


@dataclass(frozen=True)
class Place:
    """A workspace with a state, and the names by which paths find what lies in it."""

    workspace: Workspace
    organization: str
    values: dict[str, str]

    def path(self, pattern: str) -> str:
        found = dict(self.values)
        if "state-version-outputs/{id}" in pattern:
            found["id"] = self.values["output"]
        elif "state-versions/{id}" in pattern:
            found["id"] = self.values["state"]
        return re.sub(r"\{(\w+)\}", lambda match: found[match[1]], pattern).removeprefix("/api/v2")


def state(serial: int = 1) -> dict[str, Any]:
    content = json.dumps(
        {
            "version": 4,
            "terraform_version": "1.11.4",
            "serial": serial,
            "lineage": LINEAGE,
            "outputs": {"note": {"value": "x", "type": "string"}},
            "resources": [],
        }
    ).encode()
    sent = {"serial": serial, "md5": md5(content).hexdigest(), "lineage": LINEAGE}
    return document("state-versions", sent | {"state": base64.b64encode(content).decode()})


async def place(client: Client, organization: Organization, name: str, **given: Any) -> Place:
    workspace = await factories.make_workspace(organization, name, **given)
    path = f"/workspaces/{workspace.id}"
    assert (await client.post(f"{path}/actions/lock")).status_code == 200
    made = await client.post(f"{path}/state-versions", state())
    assert made.status_code == 201
    assert (await client.post(f"{path}/actions/unlock")).status_code == 200
    outputs = (await client.get(f"{path}/current-state-version-outputs")).json()["data"]
    variable: Variable = await factories.make_variable(workspace)
    return Place(
        workspace,
        organization.name,
        {
            "id": workspace.id,
            "organization": organization.name,
            "name": name,
            "variable": variable.id,
            "varset": "varset-none",
            "state": made.json()["data"]["id"],
            "output": outputs[0]["id"],
        },
    )


@pytest.fixture
async def places(client: Client, owner: User, organization: Organization) -> tuple[Place, ...]:
    """Its own workspace, one that shares, one that does not, and one of another organization."""
    other = await factories.make_organization("other", owner=owner)
    return (
        await place(client, organization, "own"),
        await place(client, organization, "sharing"),
        await place(client, organization, "closed", global_remote_state=False),
        await place(client, other, "foreign"),
    )


async def start(anonymous: Client, workspace: Workspace) -> tuple[Client, Run, Claimed]:
    """The run of a plan that has begun: what it says with its token."""
    run = await factories.make_run(workspace)
    claimed = await factories.take_job()
    token = await run_tokens.mint(claimed.job, run)
    return Client(anonymous.http, token.reveal()), run, claimed


async def start_apply(anonymous: Client, workspace: Workspace) -> tuple[Client, Run, Claimed]:
    run = await factories.plan(await factories.make_run(workspace))
    await runs.confirm(SYSTEM, run)
    claimed = await factories.take_job()
    assert claimed.job.phase == "apply"
    token = await run_tokens.mint(claimed.job, run)
    return Client(anonymous.http, token.reveal()), run, claimed


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
def test_every_route_of_the_api_says_what_a_run_gets(settings: Settings) -> None:
    table = {f"{method} {route.path}" for route in asgi.routes(settings) for method in route.methods}
    assert {route for route in table if " /api/v2" in route} == {*CAGE, *REFUSED}


async def test_a_run_is_turned_away_by_name_from_every_other_route(
    anonymous: Client, places: tuple[Place, ...]
) -> None:
    run, _, _ = await start(anonymous, places[0].workspace)
    for route in REFUSED:
        method, pattern = route.split()
        for one in (places[0], places[3]):
            response = await run.request(method, one.path(pattern), {"data": "nonsense"})
            assert response.status_code == 403, route
            assert "This is a run token" in error(response)["detail"]


async def test_a_run_gets_what_is_its_own_and_what_is_shared_with_it(
    anonymous: Client, places: tuple[Place, ...]
) -> None:
    run, _, _ = await start(anonymous, places[0].workspace)
    for route, expected in CAGE.items():
        method, pattern = route.split()
        body = state(2) if method == "POST" and "state-versions" in route else None
        answers = [(await run.request(method, one.path(pattern), body)).status_code for one in places]
        assert tuple(answers) == expected, route


async def test_a_state_that_is_not_shared_is_refused_like_one_that_is_not_there(
    anonymous: Client, places: tuple[Place, ...]
) -> None:
    run, _, _ = await start(anonymous, places[0].workspace)
    for kind, values in (("state-versions", "state"), ("state-version-outputs", "output")):
        refused, missing = [
            error(await run.get(f"/{kind}/{id}")) for id in (places[2].values[values], "sv-AAAAAAAAAAAAAAAA")
        ]
        assert refused == missing
    refused = error(await run.get(f"/state-versions/{places[2].values['state']}/outputs"))
    assert refused == error(await run.get("/state-versions/sv-AAAAAAAAAAAAAAAA/outputs"))


async def test_a_state_that_names_this_workspace_is_shared_with_it(
    client: Client, anonymous: Client, places: tuple[Place, ...]
) -> None:
    own, _, closed, _ = places
    named = {"data": [{"type": "workspaces", "id": own.workspace.id}]}
    path = f"/workspaces/{closed.workspace.id}"
    assert (await client.post(f"{path}/relationships/remote-state-consumers", named)).status_code == 204
    run, _, _ = await start(anonymous, own.workspace)
    assert (await run.get(f"{path}/current-state-version")).status_code == 200


async def test_a_state_is_written_while_its_apply_runs_and_in_no_plan(
    anonymous: Client, places: tuple[Place, ...]
) -> None:
    own, sharing, _, _ = places
    run, _, _ = await start_apply(anonymous, own.workspace)
    assert (await run.post(f"/workspaces/{own.workspace.id}/state-versions", state(2))).status_code == 201
    assert (await run.post(f"/workspaces/{sharing.workspace.id}/state-versions", state(2))).status_code == 403


async def test_lock_and_unlock_are_answered_and_the_runs_lock_stays(
    anonymous: Client, places: tuple[Place, ...]
) -> None:
    workspace = places[0].workspace
    client, run, _ = await start(anonymous, workspace)
    for action in ("lock", "unlock", "unlock"):
        response = await client.post(f"/workspaces/{workspace.id}/actions/{action}")
        assert response.status_code == 200
        assert attributes(response)["locked"] is True
    assert (await Workspace.get(id=workspace.id)).locked_by_run_id == run.id


async def test_links_in_answers_to_a_run_lead_through_its_sandbox(
    client: Client, anonymous: Client, places: tuple[Place, ...]
) -> None:
    run, _, _ = await start(anonymous, places[0].workspace)
    path = f"/workspaces/{places[0].workspace.id}/current-state-version"
    found = attributes(await run.get(path))["hosted-state-download-url"]
    assert found.startswith("http://stateroom.internal/v1/object/")
    assert attributes(await client.get(path))["hosted-state-download-url"].startswith("https://stateroom.test/v1/")


async def test_includes_do_not_widen_the_cage(anonymous: Client, places: tuple[Place, ...]) -> None:
    run, _, _ = await start(anonymous, places[0].workspace)
    everything = (
        "organization,project,current_run,latest_run,locked_by,vars,current_configuration_version,current_run.plan"
    )
    for one in places[:2]:
        response = await run.get(f"/workspaces/{one.workspace.id}", params={"include": everything})
        assert response.json()["included"] == []


async def test_a_token_dies_with_its_phase(anonymous: Client, places: tuple[Place, ...]) -> None:
    run, _, claimed = await start(anonymous, places[0].workspace)
    assert (await run.get("/ping")).status_code == 204
    await claims.close(claimed.claim)
    response = await run.get("/ping")
    assert response.status_code == 401
    assert "phase has ended" in error(response)["detail"]


async def test_a_plan_that_is_queued_or_claimed_again_has_another_token(
    anonymous: Client, places: tuple[Place, ...]
) -> None:
    old, run, claimed = await start(anonymous, places[0].workspace)
    await claims.release(claimed.job.id, claimed.claim.number)
    assert (await old.get("/ping")).status_code == 401
    again = await factories.take_job("wrk-other")
    assert (await old.get("/ping")).status_code == 401
    token = await run_tokens.mint(again.job, run)
    assert (await Client(anonymous.http, token.reveal()).get("/ping")).status_code == 204


async def test_an_adopted_apply_keeps_its_token(anonymous: Client, places: tuple[Place, ...]) -> None:
    run, _, claimed = await start_apply(anonymous, places[0].workspace)
    [adopted] = await claims.take_over(claimed.claim.worker_id)
    assert adopted.claim.number > claimed.claim.number
    assert (await run.get("/ping")).status_code == 204


async def test_the_use_of_a_token_is_a_sign_of_life(anonymous: Client, places: tuple[Place, ...]) -> None:
    run, _, claimed = await start(anonymous, places[0].workspace)
    before = (await Job.get(id=claimed.job.id)).life
    for _ in range(3):
        await run.get("/ping")
    assert (await Job.get(id=claimed.job.id)).life == before + 1


async def test_a_run_of_a_deleted_workspace_reaches_nothing(anonymous: Client, places: tuple[Place, ...]) -> None:
    run, _, _ = await start(anonymous, places[1].workspace)
    await Workspace.filter(id=places[0].workspace.id).update(deleted_at=places[0].workspace.created_at)
    assert await workspaces.visible(SYSTEM).count() == 3
    assert (await run.get(f"/workspaces/{places[0].workspace.id}")).status_code == 404


async def test_the_database_does_not_hold_a_runs_token(anonymous: Client, places: tuple[Place, ...]) -> None:
    run, _, _ = await start(anonymous, places[0].workspace)
    assert run.token is not None
    assert run.token.split(".")[2] not in str(await RunToken.all().values())

"""A workspace or an organization is deleted while runs wait, plan, or are applied: none is left behind."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest

from app import runs
from app.access.actors import SYSTEM
from app.access.models import User
from app.configurations.models import ConfigurationVersion
from app.jobs import claims
from app.jobs.models import Job
from app.organizations.models import Organization
from app.projects.models import Project
from app.runs import deletion, lifecycle, moves, queue
from app.runs.models import Run
from app.workspaces.models import Workspace
from tests import factories
from tests.api import Client, document


def refusal(response: httpx2.Response) -> str:
    """The sentence of a 409."""
    assert response.status_code == 409, response.text
    return str(response.json()["errors"][0]["detail"])


async def unended(workspace: Workspace) -> int:
    """How many runs of *workspace* are not final, or still have a job nobody took."""
    alive = Run.filter(workspace_id=workspace.id, status__in=lifecycle.GROUPS["non_final"])
    return (
        await alive.count() + await Job.filter(run__workspace_id=workspace.id, closed_at=None, worker_id=None).count()
    )


async def make_runs(workspace: Workspace, **kinds: int) -> list[Run]:
    """That many runs of each kind, all of one configuration."""
    version: ConfigurationVersion = await factories.make_configuration_version(workspace)
    made = []
    for kind, count in kinds.items():
        given: dict[str, Any] = {} if kind == "ordinary" else {kind: True}
        made += [await factories.make_run(workspace, configuration_version=version, **given) for _ in range(count)]
    return made


async def save(run: Run) -> None:
    """Plan a saved plan, so that it waits for its confirmation."""
    await factories.plan(run)
    assert run.status == "planned_and_saved"


async def test_runs_that_wait_end_with_their_workspace(
    client: Client, organization: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "STEP", 2)
    for method, path in (("DELETE", ""), ("POST", "/actions/safe-delete")):
        workspace = await factories.make_workspace(organization)
        await save(*await make_runs(workspace, save_plan=1))
        await make_runs(workspace, plan_only=3, save_plan=2)
        assert (await client.request(method, f"/workspaces/{workspace.id}{path}")).status_code == 204
        assert await unended(workspace) > 0
        await deletion.end_forgotten()
        assert await unended(workspace) == 0
        [run, *_] = await Run.filter(workspace_id=workspace.id)
        assert (await client.get(f"/runs/{run.id}")).status_code == 404


async def test_pending_runs_of_a_workspace_that_a_person_holds_end_when_it_is_deleted_by_force(
    client: Client, organization: Organization
) -> None:
    workspace = await factories.make_workspace(organization)
    await client.post(f"/workspaces/{workspace.id}/actions/lock", {"reason": "mine"})
    pending = await make_runs(workspace, ordinary=3, plan_only=1, save_plan=1)
    assert "locked" in refusal(await client.post(f"/workspaces/{workspace.id}/actions/safe-delete"))
    assert (await client.delete(f"/workspaces/{workspace.id}")).status_code == 204
    assert {run.status for run in await Run.filter(id__in=[run.id for run in pending])} == {"discarded"}
    gone = await Workspace.get(id=workspace.id)
    assert (gone.locked_by_user_id, gone.locked_by_run_id, gone.locked_reason) == (None, None, None)


async def test_a_run_that_plans_waits_for_a_person_or_applies_keeps_its_workspace(
    client: Client, organization: Organization
) -> None:
    workspace = await factories.make_workspace(organization)
    run = await factories.make_run(workspace)
    claimed = await factories.take_job()
    await run.refresh_from_db()
    path = f"/workspaces/{workspace.id}"

    async def refused() -> None:
        for response in (await client.delete(path), await client.post(f"{path}/actions/safe-delete")):
            assert f"is locked by Run {run.id}" in refusal(response)

    await refused()
    await moves.move(run, "start", claim=claimed.claim)
    await refused()
    await moves.move(run, "finish", claim=claimed.claim, has_changes=True)
    await claims.close(claimed.claim)
    await refused()
    await client.post(f"/runs/{run.id}/actions/apply")
    claimed = await factories.take_job()
    await run.refresh_from_db()
    await moves.move(run, "start", claim=claimed.claim)
    await refused()
    await moves.move(run, "finish", claim=claimed.claim)
    assert f"Run {run.id} " in refusal(await client.delete(path))
    await claims.close(claimed.claim)
    assert (await client.delete(path)).status_code == 204


async def test_a_plan_taken_in_the_moment_of_the_deletion_is_canceled(
    client: Client, organization: Organization
) -> None:
    """And so is whatever a process that died after the deletion did not end: a sweep finds it."""
    workspace = await factories.make_workspace(organization)
    await make_runs(workspace, plan_only=3, ordinary=3)
    claimed = await factories.take_job()
    await moves.move(await Run.get(id=claimed.job.run_id), "start", claim=claimed.claim)
    assert f"Run {claimed.job.run_id}" in refusal(await client.delete(f"/workspaces/{workspace.id}"))
    await Workspace.filter(id=workspace.id).update(deleted_at=workspace.created_at)
    await deletion.end_forgotten()
    left = await Run.filter(workspace_id=workspace.id, status__in=lifecycle.GROUPS["non_final"])
    assert [run.id for run in left] == [claimed.job.run_id]
    wishes = await claims.renew(claimed.claim)
    assert wishes is not None
    assert wishes.cancel_requested_at is not None
    await moves.move(left[0], "stop", claim=claimed.claim)
    await claims.close(claimed.claim)
    await deletion.end_forgotten()
    assert await unended(workspace) == 0
    assert (await Workspace.get(id=workspace.id)).locked_by_run_id is None


async def test_a_living_workspace_loses_no_run_to_the_sweep(client: Client, organization: Organization) -> None:
    workspace = await factories.make_workspace(organization)
    await make_runs(workspace, ordinary=2, plan_only=1)
    await deletion.end_forgotten()
    await deletion.on_deletion(workspace.id)
    assert await Run.filter(workspace_id=workspace.id, status__in=lifecycle.GROUPS["non_final"]).count() == 3
    assert (await runs.visible(SYSTEM).filter(workspace_id=workspace.id).count()) == 3


async def test_an_organization_is_deleted_with_what_waits_in_it(
    client: Client, stranger: Client, organization: Organization, owner: User
) -> None:
    assert (await stranger.delete("/organizations/acme")).status_code == 404
    spaces = [await factories.make_workspace(organization, name) for name in ("a", "b")]
    await client.post(f"/workspaces/{spaces[1].id}/actions/lock")
    await make_runs(spaces[0], plan_only=2)
    [pending] = await make_runs(spaces[1], ordinary=1)
    project = await Project.get(organization_id=organization.id)
    assert (await client.delete("/organizations/acme")).status_code == 204
    assert [await unended(workspace) for workspace in spaces] == [0, 0]
    for path in (
        "/organizations/acme",
        "/organizations/acme/workspaces",
        f"/workspaces/{spaces[0].id}",
        f"/projects/{project.id}",
        f"/runs/{pending.id}",
    ):
        assert (await client.get(path)).status_code == 404, path
    assert (await client.get("/organizations")).json()["data"] == []
    assert (await client.delete("/organizations/acme")).status_code == 404
    # The name is free; nothing of the old one is in the new one.
    again = await factories.make_organization("acme", owner=owner)
    assert (await client.get("/organizations/acme/workspaces")).json()["data"] == []
    assert (await Organization.get(id=organization.id)).former_name == "acme"
    assert await Workspace.filter(organization_id=organization.id).count() == 2
    assert again.id != organization.id


async def test_an_organization_in_which_a_run_is_at_work_stays_whole(
    client: Client, organization: Organization
) -> None:
    working, other = [await factories.make_workspace(organization, name) for name in ("net", "other")]
    run = await factories.make_run(working)
    await make_runs(other, plan_only=1)
    assert f"net is locked by Run {run.id}" in refusal(await client.delete("/organizations/acme"))
    assert (await client.post(f"/runs/{run.id}/actions/cancel")).status_code == 202
    claimed = await factories.take_job()
    assert f"Run {claimed.job.run_id} of the workspace other" in refusal(await client.delete("/organizations/acme"))
    assert await Workspace.filter(organization_id=organization.id, deleted_at=None).count() == 2
    assert (await client.get("/organizations/acme/workspaces/net")).status_code == 200
    await client.post(f"/runs/{claimed.job.run_id}/actions/cancel")
    await claims.close(claimed.claim)
    assert (await client.delete("/organizations/acme")).status_code == 204


async def test_nothing_is_begun_in_an_organization_that_is_deleted_at_the_same_moment(
    client: Client, organization: Organization
) -> None:
    """Either the deletion is refused, or what came beside it was refused or is gone with it."""
    workspace = await factories.make_workspace(organization)
    version = await factories.make_configuration_version(workspace)
    sent = document("workspaces", {"name": "late"})
    answers = await asyncio.gather(
        client.post("/organizations/acme/workspaces", sent),
        client.delete("/organizations/acme"),
        factories.make_run(workspace, configuration_version=version),
        return_exceptions=True,
    )
    deleted = answers[1]
    assert not isinstance(deleted, BaseException)
    assert deleted.status_code in (204, 409), deleted.text
    assert (await Workspace.filter(organization_id=organization.id, deleted_at=None).exists()) == (
        deleted.status_code == 409
    )
    if deleted.status_code == 204:
        assert await unended(workspace) == 0

"""From a claimed job to its result, with real terraform in the real sandbox."""

from __future__ import annotations

import json

import pytest

from app import runs
from app.access.actors import SYSTEM
from app.jobs.models import Job
from app.runs.models import Apply, Plan
from app.settings import Settings
from app.states.models import StateVersion
from app.workspaces.models import Workspace
from github_app import first_error
from tests import factories
from tests.integration.execution.conftest import Crew, cleared, outputs, read, rested, start, whole_log, working

ONE = {
    "main.tf": """
resource "terraform_data" "one" {
  input = "hello"
}
output "said" {
  value = terraform_data.one.output
}
"""
}


async def test_a_run_is_planned_confirmed_and_applied_and_nothing_is_left_behind(crew: Crew) -> None:
    run = await rested(await start(ONE))
    assert run.status == "planned", await whole_log(run)
    assert run.has_changes
    text = await whole_log(run)
    assert text.startswith("Terraform v1.11.4\non linux_")
    assert text.splitlines()[2] == "Initializing plugins and modules..."
    assert "1 to add" in text
    plan = await Plan.get(run_id=run.id).select_related("json_output_redacted")
    assert (plan.resource_additions, plan.resource_changes, plan.resource_destructions) == (1, 0, 0)
    document = json.loads(await read(plan.json_output_redacted))
    assert document["resource_changes"][0]["address"] == "terraform_data.one"
    assert "terraform.io/builtin/terraform" in document["provider_schemas"]

    await runs.confirm(SYSTEM, run)
    await rested(run, "apply")
    assert run.status == "applied"
    text = await whole_log(run, "apply")
    assert text.startswith("Terraform v1.11.4\non linux_")
    assert "Apply complete! Resources: 1 added, 0 changed, 0 destroyed." in text
    apply = await Apply.get(run_id=run.id)
    assert apply.resource_additions == 1
    workspace = await Workspace.get(id=run.workspace_id)
    assert workspace.locked_by_run_id is None
    version = await StateVersion.get(id=workspace.current_state_version_id).select_related("content")
    assert version.run_id == run.id
    state = json.loads(await read(version.content))
    assert state["outputs"]["said"]["value"] == "hello"
    await cleared(crew.station.settings)
    assert await Job.filter(closed_at=None).count() == 0


async def test_a_plan_without_changes_ends_by_itself(crew: Crew) -> None:
    workspace = await factories.make_workspace(terraform_version="1.11.4")
    run = await rested(await start(ONE, workspace))
    await runs.confirm(SYSTEM, run)
    await rested(run, "apply")
    again = await rested(await start(ONE, workspace))
    assert again.status == "planned_and_finished", await whole_log(again)
    assert not again.has_changes
    assert "No changes." in await whole_log(again)
    assert again.input_state_version_id is not None


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_a_plan_that_fails_ends_errored_and_says_why_in_its_log(crew: Crew) -> None:
    run = await rested(await start({"main.tf": 'resource "terraform_data" "one" {\n  input = nonsense.a\n}\n'}))
    assert run.status == "errored"
    assert "Reference to undeclared resource" in await whole_log(run)
    assert run.failure is not None
    assert ("terraform plan failed" in run.failure, run.is_timed_out) == (True, False)
    told = await first_error.of_plan(run)
    assert told.startswith("Error: Reference to undeclared resource\n\n  on main.tf line 2")
    assert told.endswith("has not been declared in the root module.")
    await cleared(crew.station.settings)


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_a_destroy_run_leaves_an_empty_state(crew: Crew) -> None:
    workspace = await factories.make_workspace(terraform_version="1.11.4")
    run = await rested(await start(ONE, workspace, auto_apply=True), "apply")
    assert run.status == "applied"
    gone = await rested(await start(ONE, workspace, is_destroy=True))
    await runs.confirm(SYSTEM, gone)
    await rested(gone, "apply")
    assert gone.status == "applied"
    workspace = await Workspace.get(id=workspace.id)
    version = await StateVersion.get(id=workspace.current_state_version_id).select_related("content")
    assert json.loads(await read(version.content))["resources"] == []


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_plans_that_run_at_once_on_a_new_worker_do_not_disturb_each_other(crew: Crew) -> None:
    """Both fill the worker's empty cache of provider schemas."""
    homes = [await factories.make_workspace(terraform_version="1.11.4") for _ in range(4)]
    started = [await start(ONE, home) for home in homes]
    assert {(await rested(run)).status for run in started} == {"planned"}
    assert not await Job.filter(losses__gt=0).exists()


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_without_a_sandbox_a_run_is_planned_and_applied_all_the_same(opened: Settings) -> None:
    async with working(opened.model_copy(update={"sandbox": "none"})):
        run = await rested(await start(ONE, auto_apply=True), "apply")
        assert run.status == "applied", await whole_log(run)
        assert await outputs(await Workspace.get(id=run.workspace_id)) == {"said": "hello"}
        again = await rested(await start(ONE, await Workspace.get(id=run.workspace_id)))
        assert again.status == "planned_and_finished"
        await cleared(opened)

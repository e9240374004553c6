"""What an apply is given of its plan, and what it refuses when something moved."""

from __future__ import annotations

import pytest

from app import runs, workspaces
from app.access.actors import SYSTEM
from app.runs.models import Plan, Run, RunSnapshot
from app.storage import objects
from app.workspaces.models import Workspace
from tests import factories
from tests.integration.execution.conftest import Crew, cleared, outputs, read, rested, start, state_of, whole_log

ONE = {"main.tf": 'resource "terraform_data" "one" {}\n'}


async def planned(**given: object) -> Run:
    home = await factories.make_workspace(terraform_version="1.11.4")
    run = await rested(await start(ONE, home, **given))
    assert run.status == "planned", await whole_log(run)
    return run


async def refused(run: Run, what: str) -> None:
    """Confirm *run*: its apply must end errored before terraform starts, naming *what* moved."""
    await runs.confirm(SYSTEM, run)
    await rested(run, "apply")
    assert run.status == "errored"
    log = await whole_log(run, "apply")
    assert log.startswith("Terraform v1.11.4\non linux_")
    assert f"{what} changed since it was made" in log
    assert run.failure is not None
    assert what in run.failure
    assert (await Workspace.get(id=run.workspace_id)).locked_by_run_id is None


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_an_apply_refuses_after_the_workspace_was_renamed(crew: Crew) -> None:
    run = await planned()
    await Workspace.filter(id=run.workspace_id).update(name="another")
    await refused(run, "the workspace's name")


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_an_apply_refuses_in_another_working_directory(crew: Crew) -> None:
    run = await planned()
    await Workspace.filter(id=run.workspace_id).update(working_directory="elsewhere")
    await refused(run, "the workspace's working directory")


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_an_apply_refuses_other_variables(crew: Crew) -> None:
    run = await planned()
    await RunSnapshot.filter(run_id=run.id).update(fingerprint="0" * 64)
    await refused(run, "the run's variables")


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_an_apply_refuses_another_state(crew: Crew) -> None:
    run = await planned()
    await Workspace.filter(id=run.workspace_id).update(current_state_version_id="sv-0000000000000000")
    await refused(run, "the workspace's state")


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_an_apply_refuses_another_plan_file(crew: Crew) -> None:
    run = await planned()
    other = await objects.put("plan-file", run.organization_id, b"not the plan")
    await other.save(force_create=True)
    await Plan.filter(run_id=run.id).update(plan_file_id=other.id)
    await refused(run, "the plan file")


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_an_apply_refuses_other_configuration_files(crew: Crew) -> None:
    run = await planned()
    other = await factories.make_configuration_version(await Workspace.get(id=run.workspace_id), files={"a.tf": ""})
    await Run.filter(id=run.id).update(configuration_version_id=other.id)
    await run.refresh_from_db()
    await refused(run, "the configuration version's files")


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_a_workspace_set_to_local_execution_applies_no_plan_and_plans_no_pending_run(crew: Crew) -> None:
    run = await planned()
    home = await Workspace.get(id=run.workspace_id)
    pending = await start(ONE, home)
    assert pending.status == "pending"
    await workspaces.update(SYSTEM, home, execution_mode="local")
    await runs.confirm(SYSTEM, run)
    await rested(run, "apply")
    await rested(pending)
    for ended, phase, began in ((run, "apply", "The plan was not applied"), (pending, "plan", "Nothing was planned")):
        assert ended.status == "errored"
        assert f"{began}: the workspace's execution-mode was set to local" in (ended.failure or "")
        assert (ended.failure or "?") in await whole_log(ended, phase)
    assert (await Workspace.get(id=home.id)).locked_by_run_id is None


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_a_version_that_has_gone_ends_the_run_and_says_what_to_do(crew: Crew) -> None:
    run = await planned()
    releases = dict(crew.station.releases)
    crew.station.releases.clear()  # type: ignore[attr-defined]
    try:
        crew.station.releases["terraform/9.9.9"] = releases["terraform/1.11.4"]  # type: ignore[index]
        home = await factories.make_workspace(terraform_version="1.11.4")
        waiting = await start(ONE, home)
        await run.refresh_from_db()
        assert waiting.status == "plan_queued"
    finally:
        crew.station.releases.update(releases)  # type: ignore[attr-defined]
    crew.ring()
    assert (await rested(waiting)).status == "planned"


CARRYING = """
terraform {
  required_version = ">= 1.4"
}
locals {
  made = fileexists("${path.module}/made.txt") ? file("${path.module}/made.txt") : "nothing"
}
resource "terraform_data" "reads" {
  input = "x"
  provisioner "local-exec" {
    command = "cat made.txt && cat deep/er/made.txt && ls -l link && test ! -e zzz_stateroom.auto.tfvars.json || true"
  }
}
"""


async def test_files_a_plan_made_are_there_for_its_apply_and_nothing_is_written_through_links(
    crew: Crew, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await planned_with_files(crew, monkeypatch)
    await runs.confirm(SYSTEM, run)
    await rested(run, "apply")
    log = await whole_log(run, "apply")
    assert run.status == "applied", log
    assert "made by the plan" in log
    assert "made deeper" in log
    assert "link -> /etc/shadow" in log
    await cleared(crew.station.settings)


async def planned_with_files(crew: Crew, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A planned run whose plan left files, as a data source that makes archives would have."""
    from app.execution import results

    pack = results._pack

    def made_by_the_plan(order):  # type: ignore[no-untyped-def]
        config = order.directory.config
        (config / "made.txt").write_text("made by the plan\n")
        (config / "deep/er").mkdir(parents=True)
        (config / "deep/er/made.txt").write_text("made deeper\n")
        (config / "link").symlink_to("/etc/shadow")
        return pack(order)

    monkeypatch.setattr(results, "_pack", made_by_the_plan)
    home = await factories.make_workspace(terraform_version="1.11.4")
    run = await rested(await start({"main.tf": CARRYING}, home))
    assert run.status == "planned", await whole_log(run)
    carried = (await Plan.get(run_id=run.id).select_related("carried_files")).carried_files
    assert b"zzz_stateroom" not in await read(carried)
    assert b"root:" not in await read(carried)
    return run


EPHEMERAL = """
variable "password" {
  type      = string
  ephemeral = true
}
resource "terraform_data" "one" {
  provisioner "local-exec" {
    command = "test -n '${var.password}' && echo got it"
  }
}
"""


async def test_ephemeral_variables_are_given_to_the_apply_too(crew: Crew) -> None:
    home = await factories.make_workspace(terraform_version="1.11.4")
    await factories.make_variable(home, "password", "swordfish", sensitive=True)
    run = await rested(await start({"main.tf": EPHEMERAL}, home, auto_apply=True), "apply")
    assert run.status == "applied", await whole_log(run, "apply")


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_uploads_that_would_lead_terraform_elsewhere_are_cleaned_and_overridden(crew: Crew) -> None:
    files = {
        "main.tf": 'terraform {\n  cloud {\n    organization = "x"\n    workspaces { name = "y" }\n  }\n}\n'
        'output "name" {\n  value = terraform.workspace\n}\n',
        "zzzz_override.tf": 'output "extra" {\n  value = 1\n}\n',
        "terraform.tfstate": '{"version": 4, "serial": 9, "lineage": "stray", "outputs": {}, "resources": []}',
        ".terraform/terraform.tfstate": '{"version": 3, "backend": {"type": "s3", "config": {}, "hash": 1}}',
        ".terraform/environment": "elsewhere",
        "terraform.tfstate.d/other/terraform.tfstate": "{}",
    }
    files["main.tf"] += 'output "extra" {\n  value = 0\n}\n'
    home = await factories.make_workspace(terraform_version="1.11.4")
    run = await rested(await start(files, home, auto_apply=True), "apply")
    assert run.status == "applied", await whole_log(run)
    assert await outputs(home) == {"name": home.name, "extra": 1}


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_a_run_works_in_the_workspaces_working_directory(crew: Crew) -> None:
    home = await factories.make_workspace(terraform_version="1.11.4", working_directory="envs/prod")
    files = {
        "envs/prod/main.tf": 'module "m" {\n  source = "../../m"\n}\noutput "a" {\n  value = module.m.a\n}\n',
        "m/main.tf": 'output "a" {\n  value = "from the module"\n}\n',
    }
    run = await rested(await start(files, home, auto_apply=True), "apply")
    assert run.status == "applied", await whole_log(run)
    assert await outputs(home) == {"a": "from the module"}


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_a_working_directory_that_is_not_there_is_said(crew: Crew) -> None:
    home = await factories.make_workspace(terraform_version="1.11.4", working_directory="nowhere")
    run = await rested(await start(ONE, home))
    assert run.status == "errored"
    assert "The working directory nowhere is not in the configuration version" in await whole_log(run)


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
@pytest.mark.parametrize("directory", ["", "docs"])
async def test_an_upload_without_configuration_destroys_nothing(crew: Crew, directory: str) -> None:
    """Terraform refuses to plan without any, and must not be led to believe that ours is one."""
    home = await factories.make_workspace(terraform_version="1.11.4", auto_apply=True)
    assert (await rested(await start(ONE, home), "apply")).status == "applied"
    await Workspace.filter(id=home.id).update(working_directory=directory)
    home = await Workspace.get(id=home.id)
    nothing = {"README.txt": "", "docs/.hidden.tf": "", "docs/main.tf~": "", "docs/terraform.tfvars": ""}
    run = await rested(await start(nothing, home))
    assert run.status == "errored"
    assert "No configuration files: the" in await whole_log(run)
    assert len((await state_of(run))["resources"]) == 1
    meant = await rested(await start(nothing, home, is_destroy=True, auto_apply=True), "apply")
    assert meant.status == "applied", await whole_log(meant)
    assert (await state_of(meant))["resources"] == []

"""Configuration that a plan writes for what it would import."""

from __future__ import annotations

import pytest

from app import runs
from app.access.actors import SYSTEM
from app.errors import Conflict
from app.runs import generated, lifecycle
from app.runs.models import Plan, RunEvent
from app.workspaces.models import Workspace
from tests import factories
from tests.integration.execution.conftest import Crew, rested, start, whole_log

IMPORT = 'import {\n  to = terraform_data.here\n  id = "an-id"\n}\n'
#: Also what a person may have called the file that was generated for an earlier run.
OTHER = 'resource "terraform_data" "there" { input = "x" }\n'


async def workspace() -> Workspace:
    return await factories.make_workspace(terraform_version="1.11.4")


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_a_plan_that_wrote_configuration_is_shown_and_not_applied_until_the_code_has_it(crew: Crew) -> None:
    home = await workspace()
    files = {"main.tf": IMPORT, "generated.tf": OTHER}
    run = await rested(await start(files, home, allow_config_generation=True, auto_apply=True))
    log = await whole_log(run)
    assert (run.status, run.has_changes, run.generated_configuration) == ("planned_and_finished", True, True), log
    assert "cannot be applied" in log
    assert not lifecycle.offers(run)["is-confirmable"]
    with pytest.raises(Conflict):
        await runs.confirm(SYSTEM, run)
    [block] = await generated.of(SYSTEM, run)
    assert (block.address, block.imported_as) == ("terraform_data.here", "an-id")
    assert block.text.startswith('resource "terraform_data" "here" {')
    assert await Plan.filter(run_id=run.id, plan_file_id=None).exists()
    fresh = await Workspace.get(id=home.id)
    assert fresh.locked_by_run_id is None

    added = await rested(await start({**files, "here.tf": block.text}, home, auto_apply=True), "apply")
    assert added.status == "applied", await whole_log(added)
    assert (await Plan.get(run_id=added.id)).resource_imports == 1


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_asked_for_and_not_needed_it_changes_nothing(crew: Crew) -> None:
    asked = {"allow_config_generation": True, "auto_apply": True}
    run = await rested(await start({"main.tf": OTHER}, await workspace(), **asked), "apply")
    assert (run.status, run.generated_configuration) == ("applied", False), await whole_log(run)


async def test_a_saved_plan_that_wrote_configuration_is_not_kept_for_later(crew: Crew) -> None:
    asked = {"allow_config_generation": True, "save_plan": True}
    run = await rested(await start({"main.tf": IMPORT}, await workspace(), **asked))
    assert run.status == "planned_and_finished", await whole_log(run)
    assert await RunEvent.filter(run_id=run.id, status="planned_and_saved").count() == 0


async def test_a_kind_of_plan_that_cannot_generate_is_made_without_and_says_so(crew: Crew) -> None:
    home = await workspace()
    destroy = await rested(await start({"main.tf": OTHER}, home, allow_config_generation=True, is_destroy=True))
    assert destroy.status == "planned_and_finished", await whole_log(destroy)
    assert "No configuration is generated: a destroy or refresh-only plan" in await whole_log(destroy)

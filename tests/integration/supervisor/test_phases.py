"""A plan and an apply, with the real terraform in the real sandbox."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from app.runs import addresses
from app.supervisor.client import CannotLaunch, Spawner, adopt
from app.supervisor.control import EVENTS, LOG
from app.supervisor.spec import Directories, Options, Result, Spec, Workspace
from app.variables import values
from tests.integration.supervisor.fake_api import WORKSPACE, FakeApi
from tests.integration.supervisor.place import WORKSPACE_NAME, Place
from tests.integration.supervisor.watching import ended

HELLO = {
    "main.tf": """
        resource "terraform_data" "hello" { input = "hello from ${terraform.workspace}" }
        output "greeting" { value = terraform_data.hello.output }
    """
}


def read(path: str | None) -> bytes:
    assert path is not None
    return Path(path).read_bytes()


async def carry_out(spawner: Spawner, spec: Spec) -> tuple[Result, str]:
    phase = await spawner.launch(spec, outlives_worker=spec.phase == "apply")
    result = await ended(phase)
    return result, read(str(phase.control / LOG)).decode()


async def test_a_plan_and_its_apply(place: Place, api: FakeApi, spawner: Spawner) -> None:
    planned, log = await carry_out(spawner, place.spec("plan", HELLO))
    assert planned.outcome == "finished", log
    assert planned.has_changes is True
    assert [(step.name, step.exit_code) for step in planned.steps] == [
        ("init", 0),
        ("plan", 2),
        ("show", 0),
        ("schemas", 0),
    ]
    assert log.startswith("Terraform v1.11.4\non linux_")
    assert log.split("\n")[2] == "Initializing plugins and modules..."
    assert log.index("successfully initialized") < log.index("1 to add")
    assert planned.log_length == len(log.encode())
    document = json.loads(read(planned.plan_json))
    assert document["resource_changes"][0]["address"] == "terraform_data.hello"
    assert "terraform.io/builtin/terraform" in json.loads(read(planned.schemas))["provider_schemas"]
    assert api.versions == []

    applied, log = await carry_out(spawner, place.spec("apply", HELLO))
    assert applied.outcome == "finished", log
    assert "Apply complete! Resources: 1 added" in log
    assert f'greeting = "hello from {WORKSPACE_NAME}"' in log
    final = api.finals[-1]
    assert final.id == applied.state.uploaded_version
    assert (final.serial, final.lineage) == (applied.state.serial, applied.state.lineage)
    assert final.resources == ["hello"]
    assert applied.state.left is None


async def test_a_plan_starts_from_the_current_state(place: Place, api: FakeApi, spawner: Spawner) -> None:
    await carry_out(spawner, place.spec("plan", HELLO))
    await carry_out(spawner, place.spec("apply", HELLO))
    planned, log = await carry_out(spawner, place.spec("plan", HELLO))
    assert planned.has_changes is False, log
    assert "No changes." in log
    assert planned.state.input_version == api.finals[-1].id
    assert planned.plan_json is None
    assert [step.name for step in planned.steps] == ["init", "plan"]


async def test_schemas_are_made_once(place: Place, spawner: Spawner) -> None:
    first, _ = await carry_out(spawner, place.spec("plan", HELLO))
    second, _ = await carry_out(spawner, place.spec("plan", HELLO))
    assert [step.name for step in second.steps] == ["init", "plan", "show"]
    assert read(first.schemas) == read(second.schemas)


async def test_a_plan_without_changes_is_shown_if_asked(place: Place, spawner: Spawner) -> None:
    planned, log = await carry_out(spawner, place.spec("plan", {"main.tf": ""}, options=Options(show_unchanged=True)))
    assert planned.has_changes is False, log
    assert json.loads(read(planned.plan_json))["applyable"] is False


async def test_a_plan_that_fails_says_why_in_its_log(place: Place, spawner: Spawner) -> None:
    planned, log = await carry_out(spawner, place.spec("plan", {"main.tf": "output x { value = nothing.there }"}))
    assert (planned.outcome, planned.reason, planned.has_changes) == ("errored", "", None)
    assert planned.steps[-1].exit_code == 1
    assert "Reference to undeclared resource" in log


async def test_an_init_that_fails_ends_the_phase(place: Place, spawner: Spawner) -> None:
    planned, log = await carry_out(spawner, place.spec("plan", {"main.tf": 'module "x" { source = "./nowhere" }'}))
    assert planned.outcome == "errored"
    assert [step.name for step in planned.steps] == ["init"]
    assert "Unreadable module directory" in log


async def test_a_root_module_may_lie_deeper(place: Place, api: FakeApi, spawner: Spawner) -> None:
    shallow = place.spec("plan").directories
    deep = Directories(shallow.config, shallow.state, shallow.out, shallow.control, "environments/prod")
    planned, log = await carry_out(spawner, place.spec("plan", HELLO, directories=deep))
    assert planned.has_changes is True, log


async def test_a_workspace_called_default_keeps_its_name(place: Place, api: FakeApi, spawner: Spawner) -> None:
    default = Workspace(WORKSPACE, "default")
    await carry_out(spawner, place.spec("plan", HELLO, workspace=default))
    applied, log = await carry_out(spawner, place.spec("apply", HELLO, workspace=default))
    assert applied.outcome == "finished", log
    assert 'greeting = "hello from default"' in log
    assert api.finals[-1].resources == ["hello"]


async def test_an_apply_without_changes_makes_no_version(place: Place, api: FakeApi, spawner: Spawner) -> None:
    await carry_out(spawner, place.spec("plan", HELLO))
    await carry_out(spawner, place.spec("apply", HELLO))
    before = len(api.versions)
    await carry_out(spawner, place.spec("plan", HELLO))
    applied, log = await carry_out(spawner, place.spec("apply", HELLO))
    assert applied.outcome == "finished", log
    assert (len(api.versions), applied.state.uploaded_version, applied.state.left) == (before, None, None)


async def test_a_plan_of_another_state_is_not_applied(place: Place, api: FakeApi, spawner: Spawner) -> None:
    await carry_out(spawner, place.spec("plan", HELLO))
    applied, log = await carry_out(spawner, place.spec("apply", HELLO, state_version="sv-of-the-plan"))
    assert (applied.outcome, applied.reason) == ("errored", "state")
    assert "The plan was made on state version sv-of-the-plan" in log
    assert applied.steps == ()


async def test_a_phase_is_never_carried_out_twice(place: Place, spawner: Spawner) -> None:
    spec = place.spec("plan", HELLO)
    await carry_out(spawner, spec)
    with pytest.raises(CannotLaunch, match="has been used"):
        await spawner.launch(spec, outlives_worker=False)


async def test_a_phase_that_is_over_is_not_adopted(place: Place, spawner: Spawner) -> None:
    spec = place.spec("plan", HELLO)
    phase = await spawner.launch(spec, outlives_worker=False)
    await ended(phase)
    assert adopt(spec.directories.control) is None
    assert phase.is_over


async def test_each_step_is_written_down(place: Place, spawner: Spawner) -> None:
    spec = place.spec("plan", HELLO)
    result, _ = await carry_out(spawner, spec)
    events = [json.loads(line) for line in read(f"{spec.directories.control}/{EVENTS}").splitlines()]
    assert [event["name"] for event in events if event["event"] == "step"] == [step.name for step in result.steps]
    assert all(0 < step.set_up < step.seconds for step in result.steps)


async def test_what_is_ours_is_closed_to_others(place: Place, spawner: Spawner) -> None:
    spec = place.spec("plan", HELLO)
    await carry_out(spawner, spec)
    for entry in os.scandir(spec.directories.control):
        assert entry.stat().st_mode & 0o077 == 0, entry.name
        assert entry.stat().st_uid == os.geteuid()


async def test_a_spawner_that_died_is_replaced(place: Place, spawner: Spawner) -> None:
    await carry_out(spawner, place.spec("plan", HELLO))
    assert spawner.pid
    os.kill(spawner.pid, 9)
    planned, log = await carry_out(spawner, place.spec("plan", HELLO))
    assert planned.has_changes is True, log


async def test_terraform_starts_with_as_many_arguments_and_variables_as_a_run_may_have(
    place: Place, spawner: Spawner
) -> None:
    longest = "terraform_data." + "x" * (addresses.MOST_OF_ADDRESS - len("terraform_data."))
    others = addresses.MOST_ADDRESSES - 1
    each = (addresses.MOST_OF_ALL_ADDRESSES - len(longest)) // others
    targets = (longest, *(f"terraform_data.{'x' * (each - 19)}{number:04}" for number in range(others)))
    length = values.MOST_OF_ALL_ENVIRONMENT // values.MOST_IN_ENVIRONMENT
    given = {f"LONG{number:04}": "x" * (length - 18) for number in range(values.MOST_IN_ENVIRONMENT)}
    spec = place.spec("plan", HELLO, options=Options(targets=targets), environment=given)
    planned, log = await carry_out(spawner, spec)
    assert planned.outcome == "finished", log

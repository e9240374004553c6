"""What stands at the terminal while a run waits: the CLI's own words, or a line of the log where it asks no more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.configuration import ONE, Configuration
from tests.e2e.site import GATE, Site
from tests.e2e.test_cli_interrupts import BOTH
from tests.e2e.up import Up

HELD = {
    "main.tf": f"""
resource "terraform_data" "held" {{
  provisioner "local-exec" {{ command = "echo begun; {GATE}" }}
}}
"""
}


@BOTH
def test_a_plan_in_a_locked_workspace_goes_on_once_that_is_unlocked(configuration: Configuration, kind: str) -> None:
    configuration.backend(kind).init()
    configuration.lock()
    terminal = configuration.at_terminal("plan")
    terminal.wait_for("Waiting for the manually locked workspace to be unlocked...")
    configuration.unlock()
    assert terminal.ends() == 0
    assert "1 to add" in terminal.said


def test_t35_each_is_told_how_many_are_before_it(configuration: Configuration) -> None:
    """Plans that are over, newer than the run that holds the workspace, do not count."""
    configuration.remote().init()
    first = configuration.at_terminal("apply")
    first.wait_for("Enter a value:")
    configuration.must("plan", "-no-color")
    second = configuration.at_terminal("apply", "-auto-approve")
    second.wait_for("Waiting for 1 run(s) to finish before being queued...")
    third = configuration.at_terminal("apply", "-auto-approve")
    third.wait_for("Waiting for 2 run(s) to finish before being queued...")
    first.type("yes")
    assert [terminal.ends() for terminal in (first, second, third)] == [0, 0, 0]
    assert [status for status in configuration.statuses() if status == "applied"] != []


@pytest.fixture
def full(request: pytest.FixtureRequest, start: Callable[..., Up], tmp_path: Path) -> Iterator[Configuration]:
    """A configuration on a server where one run at a time is carried out, in all or of an organization."""
    configuration = Configuration(start(**request.param), tmp_path / "configuration")
    yield configuration
    Site(configuration.server).open_gate()


ONE_SLOT = pytest.param({"STATEROOM_WORKER_SLOTS": "1"}, "Waiting for a worker: 0 jobs ahead.", id="installation")
ONE_EACH = pytest.param(
    {"STATEROOM_WORKER_SLOTS": "2", "STATEROOM_ORGANIZATION_CAP": "1"},
    "Waiting for a worker: main runs 1 job, as many as it may at a time.",
    id="organization",
)


@pytest.mark.parametrize(("full", "words"), [ONE_SLOT, ONE_EACH], indirect=["full"])
def test_plan_and_confirmed_apply_say_that_all_slots_are_taken(full: Configuration, words: str) -> None:
    """Such a run is queued, of which no CLI asks why it waits: the log says it, below the header the CLI drops."""
    full.cloud(resources=ONE).init()
    site = Site(full.server)
    occupying(site, "busy-1")
    terminal = full.at_terminal("apply")
    terminal.wait_for(words)
    site.open_gate()
    terminal.wait_for("Enter a value:")
    occupying(site, "busy-2")
    terminal.type("yes")
    terminal.wait_for(words)
    [waiting] = [run for run in full.runs() if run["attributes"]["status"] == "apply_queued"]
    queue = full.call("GET", "/api/v2/organizations/main/runs/queue")["data"]
    assert [run["id"] for run in queue][1:] == [waiting["id"]]
    assert queue[1]["attributes"]["position-in-queue"] == 2
    capacity = full.call("GET", "/api/v2/organizations/main/capacity")["data"]["attributes"]
    assert (capacity["running"], capacity["pending"]) == (1, 1)
    site.open_gate()
    assert terminal.ends() == 0
    assert "1 added" in terminal.said


def occupying(site: Site, name: str) -> None:
    """Start an apply in a workspace of its own, which goes on until the gate is opened."""
    run = site.start(site.make_workspace(name), HELD, auto_apply=True)
    run.follow("apply").until("(local-exec): begun")

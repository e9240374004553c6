"""Waiting and Ctrl-C, at a terminal."""

from __future__ import annotations

import pytest

from tests.e2e.configuration import Configuration
from tests.e2e.up import eventually

BOTH = pytest.mark.parametrize("kind", ["cloud", "remote"])
ENDED = ("canceled", "errored", "discarded", "applied", "planned_and_finished")

#: terraform lets a read end before it heeds an interrupt: this one takes ten seconds, and fails.
SLOW = """
data "terraform_remote_state" "never" {
  backend = "http"
  config  = { address = "http://127.0.0.1:1/", retry_max = 1, retry_wait_min = 10 }
}
"""
STEPS = """
resource "terraform_data" "first" {}
resource "terraform_data" "second" {
  depends_on = [terraform_data.first]
  provisioner "local-exec" { command = "echo be''gun; sleep 600" }
}
"""


@BOTH
def test_t34_a_run_of_a_locked_workspace_waits_and_is_canceled(configuration: Configuration, kind: str) -> None:
    configuration.backend(kind).init()
    configuration.lock()
    terminal = configuration.at_terminal("apply")
    terminal.wait_for("Waiting for the manually locked workspace to be unlocked...")
    terminal.interrupt()
    terminal.wait_for("Do you want to cancel the remote operation?")
    terminal.answer("yes")
    terminal.ends()
    assert "The remote operation was successfully cancelled." in terminal.said
    assert configuration.statuses() == ["canceled"]
    assert configuration.workspace()["attributes"]["locked"] is True


def test_t35_a_run_waits_behind_another_and_then_goes_on(configuration: Configuration) -> None:
    configuration.cloud().init()
    first = configuration.at_terminal("apply")
    first.wait_for("Enter a value:")
    second = configuration.at_terminal("apply", "-auto-approve")
    second.wait_for("Waiting for 1 run(s) to finish before being queued...")
    first.type("no")
    assert first.ends() == 1
    assert second.ends() == 0
    assert "Resources: 1 added" in second.said


@BOTH
def test_ctrl_c_at_the_prompt_leaves_the_workspace_usable(configuration: Configuration, kind: str) -> None:
    configuration.backend(kind).init()
    terminal = configuration.at_terminal("apply")
    terminal.wait_for("Enter a value:")
    terminal.interrupt()
    terminal.ends()
    [run] = configuration.runs()
    if run["attributes"]["status"] == "planned":  # terraform leaves it to a person
        configuration.call("POST", f"/api/v2/runs/{run['id']}/actions/discard", {})
    assert "Resources: 1 added" in configuration.apply()


@BOTH
def test_ctrl_c_while_applying_keeps_what_was_made(configuration: Configuration, kind: str) -> None:
    configuration.backend(kind, resources=STEPS).init()
    terminal = configuration.at_terminal("apply", "-auto-approve")
    terminal.wait_for("begun")
    terminal.interrupt()
    terminal.wait_for("The remote operation was successfully cancelled.")
    terminal.ends()
    assert eventually(lambda: configuration.statuses()[0] in ENDED)
    assert configuration.statuses()[0] in ("canceled", "errored")
    assert "terraform_data.first" in configuration.addresses()
    assert eventually(lambda: configuration.workspace()["attributes"]["locked"] is False)


@BOTH
def test_ctrl_c_while_planning_cancels_the_apply(configuration: Configuration, kind: str) -> None:
    configuration.backend(kind, resources=SLOW).init()
    terminal = configuration.at_terminal("apply")
    terminal.wait_for("Reading...")
    terminal.interrupt()
    terminal.wait_for("Do you want to cancel the remote operation?")
    terminal.answer("yes")
    terminal.ends()
    assert "The remote operation was successfully cancelled." in terminal.said
    assert eventually(lambda: configuration.statuses()[0] == "canceled"), configuration.statuses()
    assert configuration.workspace()["attributes"]["locked"] is False

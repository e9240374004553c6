"""Runs that do not end when they are asked to: a deaf provider, a worker that is gone, a terminal that is left."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

from app.supervisor import control
from tests.e2e.configuration import Configuration
from tests.e2e.site import OneRun, Site, plain, steps
from tests.e2e.up import Up, eventually, processes_on
from tests.providers import installing
from tests.providers.rehearsal import STUBBORN

Start = Callable[..., Up]

DEAF = """
terraform {
  required_providers {
    rehearsal = { source = "registry.example.com/acme/rehearsal" }
  }
}
resource "rehearsal_step" "first" { name = "first" }
resource "rehearsal_step" "second" {
  depends_on = [rehearsal_step.first]
  name       = "%s"
  seconds    = 3600
}
"""
ENDLESS = steps("echo made", "echo begun; sleep 3600")


def attributes(run: OneRun) -> dict[str, Any]:
    found: dict[str, Any] = run.site.call("GET", f"/runs/{run.id}")["attributes"]
    return found


def cancel(run: OneRun) -> None:
    run.site.call("POST", f"/runs/{run.id}/actions/cancel")


def force_cancel(run: OneRun) -> None:
    """As soon as it is offered."""
    assert attributes(run)["force-cancel-available-at"] is not None
    assert eventually(lambda: attributes(run)["actions"]["is-force-cancelable"])
    run.site.call("POST", f"/runs/{run.id}/actions/force-cancel")


def made(site: Site, workspace: str) -> list[str]:
    """The names of what the state holds; nothing, as long as there is none."""
    path = f"/api/v2/workspaces/{workspace}/current-state-version"
    answer = site.http.get(path, headers={"authorization": f"Bearer {site.token}"})
    return [] if answer.status_code == 404 else site.resources(workspace)


def is_usable(site: Site, workspace: str) -> None:
    """The workspace is free, and a run works."""
    assert site.is_locked(workspace) is False
    again = site.start(workspace, {"main.tf": 'resource "terraform_data" "new" {}\n'}, auto_apply=True)
    assert again.ends() == "applied", plain(again.follow("apply").whole())
    assert site.resources(workspace) == ["new"]


def test_a_force_cancel_ends_a_provider_that_ignores_the_cancel(start: Start) -> None:
    up = start(STATEROOM_FORCE_CANCEL_COOLOFF="1")
    site = Site(up)
    workspace = site.make_workspace("deaf")
    installing.put_rehearsal_into(up.data / "mirror")
    run = site.start(workspace, {"main.tf": DEAF % STUBBORN}, auto_apply=True)
    reader = run.follow("apply").until("rehearsal_step.second: Creating...")
    cancel(run)
    reader.until("Interrupt received")
    reader.until("rehearsal_step.second: Still creating...")
    assert run.status == "applying"
    force_cancel(run)
    assert run.status == "canceled"
    assert attributes(run)["status-timestamps"]["force-canceled-at"]
    assert reader.whole().endswith(b"\x03")
    assert eventually(lambda: "first" in made(site, workspace)), "what was made before is in the state"
    assert eventually(lambda: os.listdir(up.data / "runs") == [])
    assert [pid for pid in processes_on(up.data) if pid not in (up.process.pid, *up.children().values())] == []


@pytest.mark.parametrize("by_force", [True, False], ids=["by force", "when the worker is back"])
def test_a_cancel_ends_an_apply_whose_worker_and_supervisor_are_gone(start: Start, by_force: bool) -> None:
    up = start(STATEROOM_FORCE_CANCEL_COOLOFF="0")
    site = Site(up)
    workspace = site.make_workspace("gone")
    run = site.start(workspace, ENDLESS, auto_apply=True)
    run.follow("apply").until("(local-exec): begun")
    planned = site.start(site.make_workspace("waits"), ENDLESS)
    planned.wait("planned")
    supervisor = supervisor_of(up)
    up.process.send_signal(signal.SIGSTOP)  # else it would start the worker again at once
    for pid in (up.children()["worker"], supervisor):
        os.kill(pid, signal.SIGKILL)
    cancel(run)
    assert run.status == "applying"
    planned.site.call("POST", f"/runs/{planned.id}/actions/discard")
    assert planned.status == "discarded"
    if by_force:
        force_cancel(run)
        assert run.status == "canceled"
    up.process.send_signal(signal.SIGCONT)
    assert run.ends() == "canceled"
    assert run.follow("apply").whole().endswith(b"\x03")
    assert eventually(lambda: "step0" in made(site, workspace)), "what was made before is in the state"
    is_usable(site, workspace)
    assert up.stop() == 0
    assert processes_on(up.data) == []


def supervisor_of(up: Up) -> int:
    """The pid of the one apply."""
    known = [control.identity(directory) for directory in (up.data / "runs").iterdir()]
    [pid] = [one.pid for one in known if one is not None and one.phase == "apply"]
    return pid


def test_two_ctrl_c_leave_the_terminal_and_not_the_run(configuration: Configuration) -> None:
    resources = """
    resource "terraform_data" "first" {}
    resource "terraform_data" "second" {
      depends_on = [terraform_data.first]
      provisioner "local-exec" { command = "echo be''gun; sleep 3600" }
    }
    """
    configuration.cloud(resources=resources).init()
    terminal = configuration.at_terminal("apply")
    terminal.answer("yes")
    terminal.wait_for("begun")
    terminal.interrupt()
    terminal.wait_for("Do you want to cancel the remote operation?")
    terminal.interrupt()
    terminal.ends()
    [run] = configuration.runs()
    assert run["attributes"]["status"] == "applying"
    configuration.call("POST", f"/api/v2/runs/{run['id']}/actions/cancel", {})
    assert eventually(lambda: configuration.statuses() == ["canceled"]), configuration.statuses()
    assert "terraform_data.first" in configuration.addresses()
    assert configuration.workspace()["attributes"]["locked"] is False

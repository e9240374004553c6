"""What `up` does to a running apply: waits for it, interrupts it when asked again, and leaves it alone when killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.cli import env
from tests.e2e.up import LONG, Up, eventually, processes_on

STEPS = """
resource "terraform_data" "first" {}
resource "terraform_data" "second" {
  depends_on = [terraform_data.first]
  provisioner "local-exec" { command = "echo begun; sleep %s; echo over" }
}
"""


class Apply:
    """`terraform apply` of two resources, the second of which takes *seconds*."""

    def __init__(self, up: Up, directory: Path, seconds: float) -> None:
        self.up = up
        up.configure(directory, "slow")
        (directory / "steps.tf").write_text(STEPS % seconds)
        up.must(directory, "init", "-no-color")
        self.process = subprocess.Popen(
            ["terraform", "apply", "-auto-approve", "-no-color"],
            cwd=directory,
            env={**os.environ, **env.variables(up.data)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.said = ""

    def wait_until_begun(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said += line
            if "begun" in line and "Executing" not in line:
                return
        raise AssertionError(self.said + self.up.said())

    def finish(self) -> str:
        output, _ = self.process.communicate(timeout=LONG)
        return self.said + output


def workspace(up: Up) -> Any:
    return up.get("/api/v2/organizations/main/workspaces/slow")["data"]


def run_status(up: Up) -> str:
    runs = up.get(f"/api/v2/workspaces/{workspace(up)['id']}/runs")
    return str(runs["data"][0]["attributes"]["status"])


def resources(up: Up, directory: Path) -> list[str]:
    state = json.loads(up.must(directory, "state", "pull"))
    return sorted(resource["name"] for resource in state["resources"])


def test_an_apply_is_waited_for(start: Callable[..., Up], tmp_path: Path) -> None:
    up = start()
    apply = Apply(up, tmp_path / "configuration", 5)
    apply.wait_until_begun()
    up.process.send_signal(signal.SIGTERM)
    assert "Apply complete! Resources: 3 added" in apply.finish()
    assert up.wait() == 0
    assert "waiting for applies" in up.said()
    assert processes_on(up.data) == []


def test_a_second_signal_interrupts_the_apply_and_its_state_is_saved(start: Callable[..., Up], tmp_path: Path) -> None:
    up = start()
    apply = Apply(up, tmp_path / "configuration", 600)
    apply.wait_until_begun()
    up.process.send_signal(signal.SIGINT)
    assert eventually(lambda: "waiting for worker; a second signal interrupts" in up.said()), up.said()
    up.process.send_signal(signal.SIGINT)
    assert up.wait() == 0
    apply.finish()
    assert processes_on(up.data) == []
    again = start("--port", up.host.rpartition(":")[2])
    assert run_status(again) in ("canceled", "errored")
    assert "first" in resources(again, tmp_path / "configuration")


@pytest.mark.parametrize("who", ["up", "worker"])
def test_an_apply_outlives_kill_9_and_is_adopted(start: Callable[..., Up], tmp_path: Path, who: str) -> None:
    up = start()
    apply = Apply(up, tmp_path / "configuration", 6)
    apply.wait_until_begun()
    if who == "up":
        os.killpg(up.process.pid, signal.SIGKILL)
        up.wait()
        up = start("--port", up.host.rpartition(":")[2])
    else:
        os.kill(up.children()["worker"], signal.SIGKILL)
    assert eventually(lambda: run_status(up) in ("applied", "errored", "canceled")), up.said()
    assert run_status(up) == "applied"
    apply.finish()
    assert resources(up, tmp_path / "configuration") == ["first", "one", "second"]
    assert up.stop() == 0
    assert processes_on(up.data) == []

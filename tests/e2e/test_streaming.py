"""Logs of real runs, read over HTTP and by a stock terraform while they are written."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from app.cli import env
from tests.e2e.site import GATE, Site, plain, steps
from tests.e2e.up import LONG, Up, eventually

#: Keeps a plan busy for some seconds, with nothing to say.
BUSY = {"main.tf": 'resource "terraform_data" "one" { input = bcrypt("x", 16) }\n'}

#: 160 bytes, in characters of one to four, and how often that is said.
LINE, LINES = "aä☃𝕏" * 16, 50_000


@pytest.fixture
def site(start: Callable[..., Up]) -> Callable[..., Site]:
    return lambda **settings: Site(start(**settings))


def applying(up: Up, directory: Path) -> subprocess.Popen[str]:
    up.must(directory, "init", "-no-color")
    return subprocess.Popen(
        ["terraform", "apply", "-auto-approve", "-no-color"],
        cwd=directory,
        env={**os.environ, **env.variables(up.data)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="strict",
    )


def test_lines_are_read_while_the_run_goes_on_and_requests_are_held(site: Callable[..., Site]) -> None:
    here = site()
    workspace = here.make_workspace("held")
    run = here.start(workspace, BUSY)
    plan = run.follow("plan").until("Terraform v1.11.4")
    assert run.status == "planning"
    whole = plan.whole()
    assert (whole[:1], whole[-1:]) == (b"\x02", b"\x03")
    assert plan.empty == 0, "a request that was held has bytes: nothing was polled"
    assert run.wait("planned") == "planned"
    here.call("POST", f"/runs/{run.id}/actions/discard")

    run = here.start(workspace, steps(f"echo line one; {GATE}; echo line two"), auto_apply=True)
    apply = run.follow("apply").until("(local-exec): line one")
    assert run.status == "applying"
    here.open_gate()
    assert b"(local-exec): line two" in plain(apply.whole())
    assert apply.empty == 0
    assert run.ends() == "applied"


def test_ten_megabytes_are_the_same_for_terraform_and_two_readers(site: Callable[..., Site], tmp_path: Path) -> None:
    here = site()
    directory = here.up.configure(tmp_path / "configuration", "long")
    (directory / "steps.tf").write_text(steps(f"{GATE}; yes '{LINE}' | head -n {LINES}")["main.tf"])
    terraform = applying(here.up, directory)
    assert terraform.stdout is not None
    for line in terraform.stdout:
        if "Executing" in line:
            break
    workspace = here.call("GET", "/organizations/main/workspaces/long")["id"]
    run = here.newest_run(workspace)
    first = run.follow("apply")
    second = run.follow("apply", offset=777_777, limit=99_991)
    here.open_gate()
    said = terraform.communicate(timeout=2 * LONG)[0]
    assert terraform.returncode == 0, said[-2000:]
    whole = first.whole()
    assert len(whole) > 10_000_000
    assert whole[777_777:] == second.whole()
    assert any(answer[0] & 0xC0 == 0x80 for answer in second.answers), "no character was cut by a border"
    text, said = plain(whole).decode(), plain(said.encode()).decode()
    assert text.count(f"(local-exec): {LINE}\n") == LINES
    assert said.count(f"(local-exec): {LINE}\n") == LINES
    assert "Apply complete!" in said


def test_a_run_that_is_silent_through_many_holds_ends_right_in_terraform(
    site: Callable[..., Site], tmp_path: Path
) -> None:
    here = site(STATEROOM_LOG_HOLD="0.2")
    directory = here.up.configure(tmp_path / "configuration", "silent")
    (directory / "steps.tf").write_text(steps(f"echo begun; {GATE}; echo over")["main.tf"])
    terraform = applying(here.up, directory)
    assert terraform.stdout is not None
    said = ""
    for line in terraform.stdout:
        said += line
        if "begun" in line and "Executing" not in line:
            break
    workspace = here.call("GET", "/organizations/main/workspaces/silent")["id"]
    reader = here.newest_run(workspace).follow("apply")
    assert eventually(lambda: reader.empty >= 20), reader.answers
    here.open_gate()
    said += terraform.communicate(timeout=LONG)[0]
    assert terraform.returncode == 0, said
    assert plain(said.encode()).count(b"(local-exec): over") == 1
    assert "Apply complete! Resources: 2 added" in said
    assert b"Apply complete!" in reader.whole()


def test_a_plan_whose_worker_is_killed_goes_on_in_the_stream_its_readers_hold(site: Callable[..., Site]) -> None:
    here = site()
    run = here.start(here.make_workspace("retried"), BUSY)
    reader = run.follow("plan").until("Terraform v1.11.4")
    assert run.status == "planning"
    os.kill(here.up.children()["worker"], signal.SIGKILL)
    before = reader.seen
    whole = reader.whole()
    assert whole.startswith(before)
    assert whole == run.follow("plan").whole(), "another reader, later, gets other bytes"
    assert whole.index(b"The plan starts again.") >= len(before)
    assert (whole.count(b"\x02"), whole.count(b"\x03")) == (1, 1)
    assert b"Plan: 1 to add" in plain(whole)
    assert run.wait("planned") == "planned"


def test_an_apply_whose_worker_is_killed_loses_no_line_and_no_resource(site: Callable[..., Site]) -> None:
    here = site()
    workspace = here.make_workspace("adopted")
    counted = "for i in $(seq 1 200); do echo line $i of $((i * 7)); done"
    run = here.start(workspace, steps("echo first", f"{counted}; {GATE}; {counted}", "echo last"), auto_apply=True)
    reader = run.follow("apply").until("line 200 of 1400")
    os.kill(here.up.children()["worker"], signal.SIGKILL)
    before = reader.seen
    here.open_gate()
    whole = reader.whole()
    assert whole.startswith(before)
    for number in range(1, 201):
        assert plain(whole).count(f"(local-exec): line {number} of {number * 7}\n".encode()) == 2
    assert run.ends() == "applied"
    assert here.resources(workspace) == ["step0", "step1", "step2"]
    assert whole == run.follow("apply").whole()

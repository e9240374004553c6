"""Each part of a server killed while an apply makes resources; what comes back converges and nothing is lost."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import httpx2
import pytest

from tests.e2e.site import GATE, OneRun, Site, plain, steps
from tests.e2e.up import Up, eventually, processes_on

#: One resource is made, one is being made, one is still to come.
FILES = steps("echo made", f"echo begun; {GATE}; echo over", "echo last")

Start = Callable[..., Up]


def kill(up: Up, who: str, start: Start) -> Up:
    """End *who* as the kernel would when memory is out; the server that is there afterwards."""
    if who in ("web", "worker", "valkey"):
        assert eventually(lambda: who in up.children()), up.said()
        killed = up.children()[who]
        os.kill(killed, signal.SIGKILL)
        assert eventually(lambda: up.children().get(who, killed) != killed), up.said()
        return up
    if who == "up":
        up.process.kill()
    else:
        os.killpg(up.process.pid, signal.SIGKILL)
    up.wait()
    return start("--port", up.host.rpartition(":")[2])


def in_the_middle(up: Up) -> tuple[Site, str, OneRun]:
    site = Site(up)
    workspace = site.make_workspace("crashes")
    run = site.start(workspace, FILES, auto_apply=True)
    run.follow("apply").until("(local-exec): begun")
    return site, workspace, run


def converges(site: Site, workspace: str, run: OneRun) -> None:
    """The run is final with all it made, the workspace is free, and the next run works."""
    assert eventually(lambda: is_up(site)), site.up.said()
    site.open_gate()
    assert run.ends() == "applied"
    log = plain(run.follow("apply").whole())
    for line in (b"made", b"begun", b"over", b"last"):
        assert log.count(b"(local-exec): " + line + b"\n") == 1, log
    assert site.resources(workspace) == ["step0", "step1", "step2"]
    assert eventually(lambda: not site.is_locked(workspace))
    again = site.start(
        workspace, {"main.tf": FILES["main.tf"] + 'resource "terraform_data" "new" {}\n'}, auto_apply=True
    )
    assert again.ends() == "applied"
    assert site.resources(workspace) == ["new", "step0", "step1", "step2"]
    assert eventually(lambda: os.listdir(site.up.data / "runs") == [])


def stops(up: Up) -> None:
    """It stops as asked, and nothing of it is left."""
    assert up.stop() == 0
    assert processes_on(up.data) == []


def is_up(site: Site) -> bool:
    try:
        return site.http.get("/health").status_code == 200
    except httpx2.TransportError:
        return False


# The worker alone and the whole group are killed in `test_up_and_applies.py`.
@pytest.mark.parametrize("who", ["web", "valkey", "up"])
def test_an_apply_ends_whole_whoever_is_killed_meanwhile(start: Start, who: str) -> None:
    site, workspace, run = in_the_middle(start())
    site.up = kill(site.up, who, start)
    converges(site, workspace, run)
    stops(site.up)


@pytest.mark.parametrize(("first", "second"), [("worker", "worker"), ("group", "group")], ids=lambda who: who)
def test_an_apply_ends_whole_after_two_kills_in_a_row(start: Start, first: str, second: str) -> None:
    site, workspace, run = in_the_middle(start())
    site.up = kill(site.up, first, start)
    site.up = kill(site.up, second, start)
    converges(site, workspace, run)
    stops(site.up)


def test_everything_killed_while_a_plan_runs_plans_again(start: Start) -> None:
    up = start()
    site = Site(up)
    workspace = site.make_workspace("crashes")
    run = site.start(workspace, {"main.tf": 'resource "terraform_data" "one" { input = bcrypt("x", 16) }\n'})
    reader = run.follow("plan").until("Terraform v1.11.4")
    site.up = kill(up, "group", start)
    assert run.wait("planned", "errored") == "planned"
    assert b"Plan: 1 to add" in plain(reader.whole())
    run.confirm()
    assert run.ends() == "applied"
    assert eventually(lambda: not site.is_locked(workspace))
    stops(site.up)

"""Every way in which a phase can be cut short, and that nothing finished is lost by it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import secrets
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest

from app.supervisor import client
from app.supervisor.client import Spawner, adopt
from app.supervisor.control import JOURNAL, STDERR
from app.supervisor.spec import Egress, Limits, Spec
from app.supervisor.statefile import State
from tests.integration.supervisor.fake_api import FakeApi
from tests.integration.supervisor.place import Place, running
from tests.integration.supervisor.users import REPOSITORY
from tests.integration.supervisor.watching import descendants, ended, is_alive, log, until, until_log_says

#: Five resources, one after the other.
CHAIN = {
    "main.tf": "".join(
        f"""
        resource "terraform_data" "r{number}" {{
          input = {"1" if number == 1 else f"terraform_data.r{number - 1}.id"}
          provisioner "local-exec" {{ command = "sleep 0.5" }}
        }}
        """
        for number in range(1, 6)
    )
}

#: Two that are quick and one whose command does not end by itself.
STUCK = {
    "main.tf": """
        resource "terraform_data" "one" {}
        resource "terraform_data" "two" { depends_on = [terraform_data.one] }
        resource "terraform_data" "stuck" {
          depends_on = [terraform_data.two]
          provisioner "local-exec" { command = "trap '' INT TERM; (sleep 301 &) ; echo now stuck; sleep 300" }
        }
    """
}

#: A data source that cannot be interrupted while it waits for the API.
DEAF = {
    "main.tf": """
        resource "terraform_data" "one" {}
        data "terraform_remote_state" "other" {
          depends_on = [terraform_data.one]
          backend    = "remote"
          config = {
            hostname     = "stateroom.internal"
            organization = "main"
            workspaces   = { name = "other" }
          }
        }
        resource "terraform_data" "after" { input = data.terraform_remote_state.other.outputs }
    """
}


#: How an apply ends that is ended so.
ENDS = {"by itself": "finished", "interrupt": "canceled", "kill": "canceled", "supervisor killed": "lost"}


async def planned(place: Place, spawner: Spawner, configuration: dict[str, str], **changes: Any) -> Spec:
    """The order of an apply whose plan has been made."""
    plan = await spawner.launch(place.spec("plan", configuration, **changes), outlives_worker=False)
    assert (await ended(plan)).has_changes is True, log(plan.control)
    return place.spec("apply", configuration, **changes)


@asynccontextmanager
async def worker(spec: Spec) -> AsyncIterator[tuple[asyncio.subprocess.Process, int, int]]:
    """A worker that has launched *spec*: its process, the supervisor's pid and the spawner's."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.integration.supervisor.worker"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=REPOSITORY,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(spec.encode())
    process.stdin.close()
    supervisor, spawner = (int(word) for word in (await process.stdout.readline()).split())
    try:
        yield process, supervisor, spawner
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def read(path: str) -> bytes:
    return Path(path).read_bytes()


def finished(text: str) -> set[str]:
    """The resources that *text*, a log, reports as made."""
    return set(re.findall(r"terraform_data\.(\w+): Creation complete", text))


def resources(data: bytes) -> set[str]:
    return {
        resource["name"]
        for resource in json.loads(data)["resources"]
        if all(instance.get("status") != "tainted" for instance in resource["instances"])
    }


async def test_an_apply_outlives_its_worker_and_is_adopted(place: Place, api: FakeApi, spawner: Spawner) -> None:
    spec = await planned(place, spawner, CHAIN)
    async with worker(spec) as (process, supervisor, its_spawner):
        await until_log_says(spec.directories.control, "terraform_data.r2: Creation complete")
        process.kill()
        await process.wait()
        await until(lambda: not is_alive(its_spawner), "the spawner has gone with its worker")
        assert is_alive(supervisor)
        held = [os.readlink(f"/proc/{supervisor}/fd/{standard}") for standard in (0, 1, 2)]
        assert held == ["/dev/null", "/dev/null", f"{spec.directories.control}/{STDERR}"], "nothing of its worker's"
        phase = adopt(spec.directories.control)
        assert phase is not None
        assert phase.pid == supervisor
        result = await ended(phase)
    assert result.outcome == "finished", log(spec.directories.control)
    assert finished(log(spec.directories.control)) == {f"r{number}" for number in range(1, 6)}
    assert "Apply complete! Resources: 5 added" in log(spec.directories.control)
    assert api.finals[-1].id == result.state.uploaded_version
    assert resources(api.finals[-1].data) == {f"r{number}" for number in range(1, 6)}


async def test_an_adopted_apply_can_be_interrupted(place: Place, api: FakeApi, spawner: Spawner) -> None:
    spec = await planned(place, spawner, STUCK)
    async with worker(spec) as (process, _, _):
        await until_log_says(spec.directories.control, "now stuck")
        process.kill()
        await process.wait()
    phase = adopt(spec.directories.control)
    assert phase is not None
    phase.interrupt()
    result = await ended(phase)
    assert (result.outcome, result.reason) == ("canceled", "interrupted")
    assert resources(api.finals[-1].data) == {"one", "two"}


async def test_a_plan_goes_down_with_its_worker(place: Place, spawner: Spawner, api: FakeApi) -> None:
    spec = place.spec("plan", {"main.tf": DEAF["main.tf"].replace("depends_on = [terraform_data.one]", "")})
    async with worker(spec) as (process, supervisor, _):
        await until_log_says(spec.directories.control, "other: Reading...")
        below = descendants(supervisor)
        assert below
        process.kill()
        await process.wait()
        await until(lambda: not is_alive(supervisor), "the plan's supervisor has gone with its worker")
    assert not any(map(is_alive, below))
    assert adopt(spec.directories.control) is None
    assert client.result_of(spec.directories.control).outcome == "lost"


async def test_a_supervisor_that_is_killed_leaves_every_finished_resource(
    place: Place, api: FakeApi, spawner: Spawner
) -> None:
    spec = await planned(place, spawner, CHAIN)
    phase = await spawner.launch(spec, outlives_worker=True)
    await until_log_says(spec.directories.control, "terraform_data.r3: Creation complete")
    await asyncio.sleep(0.2)  # the promise is a copy every 50 ms, not at once
    told = finished(log(spec.directories.control))
    below = descendants(phase.pid)
    os.kill(phase.pid, signal.SIGKILL)
    result = await ended(phase)
    await until(lambda: not any(map(is_alive, below)), "everything below the supervisor has gone")
    assert result.outcome == "lost"
    assert result.state.left is not None
    left = State.parse(read(result.state.left))
    assert resources(read(f"{spec.directories.control}/{JOURNAL}")) >= told, "out of the run's reach"
    assert resources(left.data) >= told >= {"r1", "r2", "r3"}
    assert (left.serial, left.lineage) == (result.state.serial, result.state.lineage)


async def test_an_interrupt_stops_a_command_that_ignores_it_and_keeps_the_state(
    place: Place, api: FakeApi, spawner: Spawner
) -> None:
    spec = await planned(place, spawner, STUCK)
    phase = await spawner.launch(spec, outlives_worker=True)
    await until_log_says(spec.directories.control, "now stuck")
    below = descendants(phase.pid)
    phase.interrupt()
    result = await ended(phase)
    assert (result.outcome, result.reason, result.interrupted, result.killed) == (
        "canceled",
        "interrupted",
        True,
        False,
    )
    assert result.steps[-1].exit_code == 1
    assert resources(api.finals[-1].data) == {"one", "two"}
    assert "stuck" in api.finals[-1].resources  # tainted: it was begun
    await until(lambda: not any(map(is_alive, below)), "the command and what it left have gone")


async def test_a_second_interrupt_ends_what_ignores_the_first(place: Place, api: FakeApi, spawner: Spawner) -> None:
    spec = await planned(place, spawner, DEAF)
    phase = await spawner.launch(spec, outlives_worker=True)
    await until_log_says(spec.directories.control, "data.terraform_remote_state.other: Reading...")
    phase.interrupt()
    await until_log_says(spec.directories.control, "Interrupt received")
    assert is_alive(phase.pid)
    phase.kill()
    result = await ended(phase)
    assert (result.outcome, result.reason, result.killed) == ("canceled", "killed", True)
    assert "Two interrupts received" in log(spec.directories.control)
    assert resources(api.finals[-1].data) == {"one"}


async def test_a_time_limit_ends_an_apply_as_a_cancel_would(place: Place, api: FakeApi, spawner: Spawner) -> None:
    spec = await planned(place, spawner, STUCK)
    spec = replace(spec, limits=Limits(seconds=4, save_seconds=20))
    phase = await spawner.launch(spec, outlives_worker=True)
    result = await ended(phase)
    assert (result.outcome, result.reason) == ("errored", "timed-out")
    said = log(spec.directories.control)
    assert "This apply took longer than it may, 4 s, and was interrupted. If it needs" in said
    assert "raise STATEROOM_APPLY_TIMEOUT, or the organization's apply-timeout" in said
    assert resources(api.finals[-1].data) == {"one", "two"}


async def test_a_plan_that_ends_after_its_time_is_no_plan(place: Place, spawner: Spawner) -> None:
    """Terraform finishes what it computes before it heeds an interrupt."""
    busy = 'output "n" { value = length([for i in range(250) : [for j in range(1000) : sha512("${i}.${j}")]]) }\n'
    spec = place.spec("plan", {"main.tf": busy}, limits=Limits(seconds=3, read_seconds=10))
    phase = await spawner.launch(spec, outlives_worker=False)
    result = await ended(phase)
    assert (result.outcome, result.reason) == ("errored", "timed-out")
    assert "This plan took longer than it may, 3 s" in log(spec.directories.control)


@pytest.mark.parametrize("end", ["timed-out", "interrupted"])
async def test_a_stuck_init_ends(place: Place, spawner: Spawner, end: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        source = f"127.1:{silent.getsockname()[1]}"  # written so, it is asked for through the proxy
        configuration = {"main.tf": f'module "one" {{ source = "http://{source}/one.zip" }}'}
        limits = Limits(seconds=4 if end == "timed-out" else 300, read_seconds=10)
        spec = place.spec("plan", configuration, limits=limits, egress=Egress(private=(source,)))
        phase = await spawner.launch(spec, outlives_worker=False)
        await until_log_says(spec.directories.control, "Downloading http://127.1")
        silent.accept()[0].recv(1)
        if end == "interrupted":
            phase.interrupt()
        result = await ended(phase)
    assert (result.outcome, result.reason) == ("errored" if end == "timed-out" else "canceled", end)
    assert [step.name for step in result.steps] == ["init"]
    said = log(spec.directories.control)
    assert ("4 s, and was interrupted. It was in `terraform init`" in said) == (end == "timed-out"), said


async def test_what_outlasts_its_grace_after_a_time_limit_is_killed(
    place: Place, api: FakeApi, spawner: Spawner
) -> None:
    spec = await planned(place, spawner, DEAF)
    spec = replace(spec, limits=Limits(seconds=5, grace=0.5, save_seconds=20))
    phase = await spawner.launch(spec, outlives_worker=True)
    result = await ended(phase)
    assert (result.outcome, result.reason, result.killed) == ("errored", "timed-out", True)
    assert resources(api.finals[-1].data) == {"one"}


async def test_an_interrupt_during_init_ends_after_it(place: Place, spawner: Spawner) -> None:
    phase = await spawner.launch(place.spec("plan", CHAIN), outlives_worker=False)
    phase.interrupt()
    result = await ended(phase)
    assert (result.outcome, result.reason) == ("canceled", "interrupted")
    assert [step.name for step in result.steps] in ([], ["init"])


@pytest.mark.parametrize("sandbox", ["bwrap", "none"])
@pytest.mark.parametrize("end", ["by itself", "interrupt", "kill", "supervisor killed"])
async def test_nothing_that_a_command_forked_outlives_its_run(
    place: Place, spawner: Spawner, sandbox: Literal["bwrap", "none"], end: str
) -> None:
    one, other, unmarked, last = (f"sleep {secrets.randbelow(10**9)}" for _ in range(4))
    leave = f"{one} & setsid {other} & (setsid sh -c '{other} &' &); "
    if end != "supervisor killed":  # what is neither below anybody nor marked nobody can know, without a sandbox
        leave += f"(setsid env -i {unmarked} &); "
    stay = "" if end == "by itself" else f"; trap '' INT TERM; {last}"
    configuration = running(f"exec 3>&1 >/dev/null 2>&1; {{ {leave}}} 3>&-; echo le''ft them >&3{stay}")
    spec = await planned(place, spawner, configuration, sandbox=sandbox)
    phase = await spawner.launch(spec, outlives_worker=True)
    await until_log_says(spec.directories.control, "left them")
    if end == "interrupt":
        phase.interrupt()
    elif end == "kill":
        phase.kill()
    elif end == "supervisor killed":
        assert _processes_with(one, other)
        os.kill(phase.pid, signal.SIGKILL)
    result = await ended(phase)
    assert result.outcome == ENDS[end], log(spec.directories.control)
    await until(lambda: not _processes_with(one, other, unmarked, last), "all it forked has gone")
    assert descendants(phase.pid) == []


def _processes_with(*commands: str) -> list[str]:
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            line = Path("/proc", entry, "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
        except OSError:
            continue
        found += [line] if line in commands else []
    return found


@pytest.mark.parametrize("phase", ["plan", "apply"])
async def test_nothing_is_left_of_a_supervisor(place: Place, spawner: Spawner, phase: str) -> None:
    spec = await planned(place, spawner, CHAIN) if phase == "apply" else place.spec("plan", CHAIN)
    launched = await spawner.launch(spec, outlives_worker=phase == "apply")
    await ended(launched)
    assert spawner.pid is not None
    await until(lambda: descendants(spawner.pid or 0) == [], "the spawner has nothing below it")

"""What becomes of phases when their worker, or their supervisor, dies."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from app import runs
from app.access.actors import SYSTEM
from app.errors import Unavailable
from app.jobs.models import Job, Worker
from app.runs import lifecycle, logs, moves
from app.runs.models import Plan, Run
from app.settings import Settings
from app.storage import streams
from app.workspaces.models import Workspace
from tests import factories
from tests.integration.execution.conftest import (
    HELD,
    PATIENCE,
    cleared,
    rested,
    slow,
    start,
    state_of,
    until_log_says,
    whole_log,
    working,
)
from tests.integration.execution.state_api import holding
from tests.services import Parts

PROGRAM = "from app import worker, settings; worker.main(settings.load())"


class Process:
    """A worker of its own process, as `stateroom worker` starts it."""

    def __init__(self, settings: Settings, parts: Parts, directory: Path | None = None, **more: str) -> None:
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(Path(__file__).resolve().parents[3]),
            **parts.environment,
            "STATEROOM_DATA_DIR": str(directory or settings.data_dir),
            "STATEROOM_KEYS_FILE": str(settings.data_dir / "keys.json"),
            "STATEROOM_EXTERNAL_URL": settings.external_url,
            "STATEROOM_INTERNAL_URL": settings.internal_url,
            "STATEROOM_WORKER_SLOTS": "2",
            "STATEROOM_LEASE_RENEW": "0.3",
            "STATEROOM_LEASE_STOP": "2",
            "STATEROOM_LEASE_EXPIRE": "3",
            "STATEROOM_IDLE_POLL": "0.2",
            **more,
        }
        self._process = subprocess.Popen([sys.executable, "-c", PROGRAM], env=environment, cwd="/")

    def send(self, number: int) -> None:
        self._process.send_signal(number)

    async def ended(self) -> int:
        return await asyncio.wait_for(asyncio.to_thread(self._process.wait), PATIENCE)

    async def kill(self) -> None:
        self.send(signal.SIGKILL)
        await self.ended()

    async def stop(self) -> None:
        if self._process.poll() is None:
            self.send(signal.SIGTERM)
            await self.ended()


@pytest.fixture
async def worker(opened: Settings, parts: Parts) -> AsyncIterator[Callable[..., Process]]:
    started: list[Process] = []

    def begin(**given: object) -> Process:
        started.append(Process(opened, parts, **given))  # type: ignore[arg-type]
        return started[-1]

    yield begin
    holding.clear()
    for process in started:
        process.send(signal.SIGCONT) if process._process.poll() is None else None
        await process.stop()


def supervisors(settings: Settings) -> list[int]:
    """The pids of the supervisors that have a directory there."""
    found = []
    for path in (settings.data_dir / "runs").glob("*/sup.json"):
        found.append(int(json.loads(path.read_text())["pid"]))
    return found


async def in_workspace(files: dict[str, str], **given: object) -> Run:
    home = await factories.make_workspace(terraform_version="1.11.4")
    return await start(files, home, **given)


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_a_plan_whose_worker_is_killed_starts_again_in_the_same_log(
    worker: Callable[..., Process], opened: Settings
) -> None:
    holding.set()
    first = worker()
    run = await in_workspace(HELD)
    await until_log_says(run, "Reading...")
    await first.kill()
    holding.clear()
    worker()
    await rested(run)
    assert run.status == "planned"
    log = await whole_log(run)
    assert log.count("Terraform v1.11.4") == 2
    assert log.index("Reading...") < log.index("The plan starts again.") < log.index("1 to add")
    job = await Job.get(run_id=run.id)
    assert (job.losses, job.claim) == (1, 3)
    await cleared(opened)


async def test_an_apply_outlives_its_worker_and_is_adopted_with_every_line(
    worker: Callable[..., Process], opened: Settings
) -> None:
    first = worker()
    run = await in_workspace(slow(4), auto_apply=True)
    await until_log_says(run, "has begun", "apply")
    await first.kill()
    assert len(supervisors(opened)) == 1
    worker()
    await rested(run, "apply")
    assert run.status == "applied"
    log = await whole_log(run, "apply")
    assert log.count("has begun") == 2  # once as the command, once as its output
    assert "has ended" in log
    assert "Apply complete! Resources: 2 added" in log
    assert [resource["name"] for resource in (await state_of(run))["resources"]] == ["first", "second"]
    await cleared(opened)


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_an_apply_that_ends_while_no_worker_is_there_is_collected(
    worker: Callable[..., Process], opened: Settings
) -> None:
    first = worker()
    run = await in_workspace(slow(2), auto_apply=True)
    await until_log_says(run, "has begun", "apply")
    await first.kill()
    async with asyncio.timeout(PATIENCE):
        while not list((opened.data_dir / "runs").glob("*/result.json")):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    await run.refresh_from_db()
    assert run.status == "applying"
    worker()
    await rested(run, "apply")
    assert run.status == "applied"
    assert "Apply complete!" in await whole_log(run, "apply")


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_what_a_killed_supervisor_had_journaled_becomes_the_state(
    worker: Callable[..., Process], opened: Settings
) -> None:
    first = worker()
    run = await in_workspace(slow(600), auto_apply=True)
    await until_log_says(run, "has begun", "apply")
    [pid] = supervisors(opened)
    await first.kill()
    os.kill(pid, signal.SIGKILL)
    worker()
    await rested(run, "apply")
    assert run.status == "errored"
    log = await whole_log(run, "apply")
    assert "The state this run left was saved as serial" in log
    assert run.failure is not None
    assert "first" in [resource["name"] for resource in (await state_of(run))["resources"]]
    assert (await Workspace.get(id=run.workspace_id)).locked_by_run_id is None
    await cleared(opened)


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_a_supervisor_killed_under_a_living_worker_ends_the_apply_with_its_state(
    worker: Callable[..., Process], opened: Settings
) -> None:
    worker()
    run = await in_workspace(slow(600), auto_apply=True)
    await until_log_says(run, "has begun", "apply")
    [pid] = supervisors(opened)
    os.kill(pid, signal.SIGKILL)
    await rested(run, "apply")
    assert run.status == "errored"
    assert "first" in [resource["name"] for resource in (await state_of(run))["resources"]]
    assert "compare" in await whole_log(run, "apply")


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_a_worker_told_to_stop_gives_its_plan_back_uncounted(
    worker: Callable[..., Process], opened: Settings
) -> None:
    holding.set()
    first = worker()
    run = await in_workspace(HELD)
    await until_log_says(run, "Reading...")
    first.send(signal.SIGTERM)
    assert await first.ended() == 0
    await run.refresh_from_db()
    assert run.status == "plan_queued"
    assert (await Job.get(run_id=run.id)).losses == 0
    holding.clear()
    worker()
    assert (await rested(run)).status == "planned"


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_a_worker_told_to_stop_waits_for_its_apply(worker: Callable[..., Process], opened: Settings) -> None:
    first = worker()
    run = await in_workspace(slow(3), auto_apply=True)
    await until_log_says(run, "has begun", "apply")
    first.send(signal.SIGTERM)
    assert await first.ended() == 0
    await run.refresh_from_db()
    assert run.status == "applied"


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_a_worker_told_twice_leaves_its_apply_to_be_adopted(
    worker: Callable[..., Process], opened: Settings
) -> None:
    first = worker()
    run = await in_workspace(slow(5), auto_apply=True)
    await until_log_says(run, "has begun", "apply")
    first.send(signal.SIGTERM)
    await asyncio.sleep(0.3)
    first.send(signal.SIGTERM)
    assert await first.ended() == 0
    await run.refresh_from_db()
    assert run.status == "applying"
    worker()
    assert (await rested(run, "apply")).status == "applied"
    assert "Apply complete!" in await whole_log(run, "apply")


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_a_worker_told_to_hurry_interrupts_its_apply(worker: Callable[..., Process], opened: Settings) -> None:
    first = worker()
    run = await in_workspace(slow(600), auto_apply=True)
    await until_log_says(run, "has begun", "apply")
    first.send(signal.SIGTERM)
    first.send(signal.SIGUSR1)
    assert await first.ended() == 0
    await run.refresh_from_db()
    assert run.status == "canceled"
    assert "first" in [resource["name"] for resource in (await state_of(run))["resources"]]


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_a_plan_of_a_worker_that_never_comes_back_is_taken_by_another(
    worker: Callable[..., Process], opened: Settings, tmp_path: Path
) -> None:
    holding.set()
    first = worker()
    run = await in_workspace(HELD)
    await until_log_says(run, "Reading...")
    await first.kill()
    holding.clear()
    worker(directory=tmp_path / "another machine")
    await rested(run)
    assert run.status == "planned"
    assert "The plan starts again." in await whole_log(run)


async def test_a_frozen_worker_writes_nothing_once_another_has_its_plan(
    worker: Callable[..., Process], opened: Settings, tmp_path: Path
) -> None:
    holding.set()
    first = worker()
    run = await in_workspace(HELD)
    await until_log_says(run, "Reading...")
    first.send(signal.SIGSTOP)
    second = worker(directory=tmp_path / "another machine")
    await until_log_says(run, "The plan starts again.")
    first.send(signal.SIGCONT)
    holding.clear()
    await rested(run)
    assert run.status == "planned"
    log = await whole_log(run)
    assert log.count("Plan:") == 1
    await second.stop()


async def test_an_apply_nobody_comes_back_for_is_given_up_and_says_what_to_check(
    worker: Callable[..., Process], opened: Settings, tmp_path: Path
) -> None:
    first = worker()
    run = await in_workspace(slow(600), auto_apply=True)
    await until_log_says(run, "has begun", "apply")
    [pid] = supervisors(opened)
    await first.kill()
    os.kill(pid, signal.SIGKILL)
    worker(directory=tmp_path / "another machine", STATEROOM_ADOPTION_WAIT="2")
    await rested(run, "apply")
    assert run.status == "errored"
    assert run.failure is not None
    assert "did not come back" in run.failure
    assert "did not come back" in await whole_log(run, "apply")
    # The first machine returns late: nobody holds the workspace, so what it has is the state.
    before = (await Workspace.get(id=run.workspace_id)).current_state_version_id
    worker()
    async with asyncio.timeout(PATIENCE):
        while (await Workspace.get(id=run.workspace_id)).current_state_version_id == before:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert [resource["name"] for resource in (await state_of(run))["resources"]] == ["first"]


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_a_second_worker_on_the_same_directory_is_refused(
    worker: Callable[..., Process], opened: Settings
) -> None:
    worker()
    async with asyncio.timeout(PATIENCE):
        while not await Worker.all().count():  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert await worker().ended() == 1


async def test_a_worker_stopped_at_any_moment_loses_no_plan_and_counts_none(
    worker: Callable[..., Process], opened: Settings
) -> None:
    moments = random.Random(7)
    started = [await in_workspace({"main.tf": 'resource "terraform_data" "one" {}\n'}) for _ in range(12)]
    for _ in range(5):
        process = worker()
        await asyncio.sleep(moments.uniform(1.5, 3.5))
        process.send(signal.SIGTERM)
        assert await process.ended() in (0, -signal.SIGTERM)  # the latter before it was ready to hear
    worker()
    assert {(await rested(run)).status for run in started} == {"planned"}
    assert not await Job.filter(losses__gt=0).exists()
    await cleared(opened)


@pytest.mark.parametrize(("is_canceled", "status"), [(False, "errored"), (True, "canceled")])
async def test_an_apply_whose_worker_died_before_terraform_started_ends_with_a_header_and_as_it_was_asked(
    is_canceled: bool, status: str, opened: Settings
) -> None:
    run = await factories.plan(await factories.make_run(auto_apply=True))
    claimed = await factories.take_job("wrk-same")
    await run.refresh_from_db()
    await moves.move(run, "start", claim=claimed.claim)
    if is_canceled:
        await runs.cancel(SYSTEM, run)
    async with working(opened, "wrk-same"):
        await rested(run, "apply")
    assert run.status == status
    header, _, rest = (await whole_log(run, "apply")).partition("Initializing plugins and modules...\n")
    assert header.startswith("Terraform v1.11.4\non ")
    assert "The worker was lost before terraform started. Nothing was changed" in rest


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_a_log_that_nothing_has_but_the_supervisors_file_is_whole_after_the_next_start(
    opened: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object) -> bool:
        raise Unavailable("Valkey does not answer.")

    async def never(*_: object) -> None:
        await asyncio.Event().wait()

    async def nothing(*_: object) -> None:
        pass

    with monkeypatch.context() as valkey:
        valkey.setattr(streams, "append", away)
        valkey.setattr(logs.Writer, "_seal", never)
        valkey.setattr(logs.Writer, "show", nothing)
        async with working(opened, "wrk-same"):
            run = await start({"main.tf": 'resource "terraform_data" "x" {}'}, plan_only=True)
            async with asyncio.timeout(PATIENCE):
                while not lifecycle.is_final(run):
                    await asyncio.sleep(0.05)
                    await run.refresh_from_db()
    assert (await Plan.get(run_id=run.id)).log_length == 0
    async with working(opened, "wrk-same"):
        assert "1 to add, 0 to change, 0 to destroy." in await whole_log(run)

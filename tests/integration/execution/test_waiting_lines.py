"""A phase that waits for a slot says so in its log, below the header, and its worker goes on there."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from app import clock, ids, runs
from app.access.actors import SYSTEM
from app.execution import waiting_lines
from app.jobs import claims, workers
from app.jobs.models import Job
from app.runs import logs
from app.runs.logs import Writer
from app.runs.models import Plan, Run
from app.settings import Settings
from app.storage import streams
from tests import factories
from tests.integration.execution.conftest import rested, start, whole_log, working
from tests.services import Parts

TOOLS = {"terraform/1.11.4"}
ONE = {"main.tf": 'resource "terraform_data" "one" {}\n'}


async def waited() -> None:
    """Every job has waited longer than nobody minds."""
    await Job.all().update(queued_at=clock.now() - timedelta(seconds=6))


async def lines(run: Run) -> list[str]:
    return (await logs.read(ids.plan_id(run.id), 1, 65536)).decode().splitlines()


@pytest.mark.usefixtures("opened")
async def test_after_a_while_and_once_a_log_says_how_many_jobs_are_ahead(settings: Settings) -> None:
    await workers.register("wrk-1", "one", 1, TOOLS)
    made = [await start(ONE) for _ in range(3)]
    assert await waiting_lines.write() == 0
    reading = asyncio.create_task(logs.read(ids.plan_id(made[2].id), 0, 65536, hold=30))
    await asyncio.sleep(0)
    await waited()
    assert await waiting_lines.write() == 3
    said = await asyncio.wait_for(reading, 30)
    assert said.startswith(b"\x02Terraform v1.11.4\non linux_")
    assert [(await lines(run))[3:] for run in made] == [
        ["Waiting for a worker: 0 jobs ahead."],
        ["Waiting for a worker: 1 job ahead."],
        ["Waiting for a worker: 2 jobs ahead."],
    ]
    assert await waiting_lines.write() == 0


@pytest.mark.usefixtures("opened")
async def test_plan_and_apply_go_on_below_the_line_with_one_header_each(settings: Settings) -> None:
    run = await start(ONE)
    await waited()
    assert await waiting_lines.write() == 1
    seen = await logs.read(ids.plan_id(run.id), 0, 65536)
    async with working(settings):
        await rested(run)
        text = await whole_log(run)
    assert text.encode().startswith(seen[1:])
    await runs.confirm(SYSTEM, run)
    await waited()
    assert await waiting_lines.write() == 1
    async with working(settings):
        await rested(run, "apply")
        applied = await whole_log(run, "apply")
    for log in (text, applied):
        assert log.splitlines()[2] == "Initializing plugins and modules..."
        assert log.splitlines()[3].startswith("Waiting for a worker: ")
        assert log.count("Initializing plugins and modules...") == 1
        assert "starts again" not in log
    assert "Apply complete!" in applied


async def _worked(run: Run) -> None:
    """What a slot does with the log, in short."""
    claimed = await claims.claim("wrk-1", TOOLS)
    assert claimed is not None
    writer = Writer(ids.plan_id(run.id), run.organization_id, claimed.claim)
    assert not await writer.open()
    if not writer.is_prefaced:
        await writer.write(b"header\n")
    await writer.write(b"planning\n")
    await writer.close()
    await claims.close(claimed.claim)


@pytest.mark.usefixtures("opened")
async def test_a_claim_at_the_same_moment_and_the_line_never_mix() -> None:
    """Either the worker finds the line, or the line is not written; the bytes are one log whichever was first."""
    for _ in range(10):
        run = await factories.make_run()
        await waited()
        [job] = await Job.filter(run_id=run.id)
        text = b"header\nWaiting for a worker: 0 jobs ahead.\n"
        begun, _ = await asyncio.gather(logs.begin_waiting(job, text), _worked(run))
        found = await logs.read(ids.plan_id(run.id), 0, 65536)
        assert found == b"\x02" + (text if begun else b"header\n") + b"planning\n\x03"


@pytest.mark.usefixtures("opened")
async def test_a_run_canceled_while_its_log_says_that_it_waits_has_an_end() -> None:
    run = await start(ONE)
    await waited()
    assert await waiting_lines.write() == 1
    await runs.cancel(SYSTEM, run)
    assert (await whole_log(run)).splitlines()[3].startswith("Waiting for a worker: ")


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
@pytest.mark.usefixtures("opened")
async def test_a_log_that_has_begun_or_a_job_that_is_taken_gets_no_line(parts: Parts) -> None:
    begun, taken = await factories.make_run(), await factories.make_run()
    await Plan.filter(run_id=begun.id).update(log_length=7)
    jobs = {job.run_id: job for job in await Job.all()}
    assert not await logs.begin_waiting(jobs[begun.id], b"text\n")
    assert await claims.claim("wrk-1", TOOLS) is not None
    assert await claims.claim("wrk-1", TOOLS) is not None
    assert not await logs.begin_waiting(jobs[taken.id], b"text\n")
    assert await logs.read(ids.plan_id(taken.id), 0, 65536) == b""
    assert (await Plan.get(run_id=taken.id)).log_preface == 0
    assert await streams.end(ids.plan_id(taken.id)) == 0

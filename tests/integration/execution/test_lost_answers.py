"""A database whose answers get lost, and a worker told to stop at any statement: each run goes on, once."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress

import pytest
from structlog.contextvars import get_contextvars

from app import runs
from app.access.actors import SYSTEM
from app.errors import Unavailable
from app.execution.recovery import Sweeper
from app.jobs.models import Job
from app.runs.models import Run, RunEvent
from app.settings import Settings
from app.storage.engines import settling
from tests.integration.execution.conftest import (
    PATIENCE,
    Crew,
    rested,
    start,
    state_of,
    whole_log,
    working,
)

ONE = {"main.tf": 'resource "terraform_data" "one" {}\n'}


@pytest.fixture(autouse=True)
def unbroken() -> Iterator[None]:
    yield
    settling.hook = None


def losing(seed: int) -> Callable[[str], Awaitable[None]]:
    """Of the worker's commits every third fails, and every third that was made says that it failed.

    Those of the API are left alone: its clients try again, which takes them a while.
    """
    chance = random.Random(seed)

    async def lose(statement: str) -> None:
        is_api = "request_id" in get_contextvars()
        if not is_api and statement in ("COMMIT", "COMMITTED") and chance.random() < 1 / 3:
            raise Unavailable("The database is away.")

    return lose


async def actions(run: Run) -> list[str]:
    events = await RunEvent.filter(run_id=run.id).order_by("number")
    return [event.action for event in events]


async def until_closed(run: Run, sweeper: Sweeper) -> None:
    """Returns when no job of *run* is open: its phase is over, and so is its log.  Sweeps, as each worker does."""
    async with asyncio.timeout(PATIENCE):
        while await Job.filter(run_id=run.id, closed_at=None).exists():
            with suppress(Unavailable):
                await sweeper.sweep()
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("seed", range(2))
async def test_a_run_is_carried_out_once_whatever_becomes_of_the_databases_answers(crew: Crew, seed: int) -> None:
    run, sweeper = await start(ONE), Sweeper(crew.station)
    settling.hook = losing(seed)
    await until_closed(run, sweeper)
    settling.hook = None
    await run.refresh_from_db()
    await runs.confirm(SYSTEM, run)
    settling.hook = losing(seed + 100)
    await until_closed(run, sweeper)
    settling.hook = None
    assert (await rested(run, "apply")).status == "applied"
    assert await actions(run) == ["create", "enqueue", "start", "finish", "confirm", "enqueue", "start", "finish"]
    for phase in ("plan", "apply"):
        assert (await whole_log(run, phase)).count("Terraform v1.11.4") == 1
    assert [resource["name"] for resource in (await state_of(run))["resources"]] == ["one"]
    assert not await Job.filter(losses__gt=0).exists()


def stopping(crew: Crew, number: int) -> Callable[[str], Awaitable[None]]:
    """Tell *crew* to stop, as a worker is told, when it speaks its statement *number*."""
    count = 0

    async def stop(_: str) -> None:
        nonlocal count
        count += 1
        if count == number:
            crew.gate.is_closing = True
            for slot in crew.slots:
                asyncio.get_running_loop().call_soon(slot.turn_away)

    return stop


async def test_a_plan_given_back_at_any_statement_waits_for_another_worker(opened: Settings) -> None:
    started = []
    for number in range(2, 42, 4):
        async with working(opened) as crew:
            settling.hook = stopping(crew, number)
            started.append(await start(ONE))
            async with asyncio.timeout(PATIENCE):
                while not (crew.gate.is_closing and all(slot.is_idle for slot in crew.slots)):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            settling.hook = None
    async with working(opened):
        assert {(await rested(run)).status for run in started} == {"planned"}
    assert not await Job.filter(losses__gt=0).exists()

"""What is measured is what happened: each series beside an event whose measure is known."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any, cast

import pytest

from app import clock
from app.execution.recovery import Sweeper
from app.execution.station import Station
from app.jobs import claims, figures
from app.jobs.models import Job
from app.runs import moves
from app.runs.models import Run
from app.settings import Settings
from app.storage import objects
from tests import factories
from tests.integration.crowd import crowd
from tests.integration.jobs.test_claims import TOOLS, take
from tests.measured import Growth

pytestmark = pytest.mark.usefixtures("opened")

LONG = 3600.0


async def long_ago(**chosen: Any) -> None:
    await Job.filter(**chosen).update(queued_at=clock.now() - timedelta(seconds=LONG))


@pytest.mark.parametrize(("priority", "name"), [(0, "apply"), (1, "plan"), (2, "speculative")])
async def test_claim_latency_is_from_queued_to_taken_by_class(priority: int, name: str) -> None:
    organization = await factories.make_organization()
    await crowd(organization, 1, priority=priority)
    await long_ago(priority=priority)
    grown = Growth()
    await take()
    assert await claims.claim("wrk-1", TOOLS) is None
    label = {"class": name}
    assert LONG <= grown.of("stateroom_job_wait_seconds_sum", **label) < 2 * LONG
    assert grown.of("stateroom_job_wait_seconds_count", **label) == 1
    assert grown.of("stateroom_job_wait_seconds_bucket", **label, le="1800.0") == 0
    assert grown.of("stateroom_job_wait_seconds_bucket", **label, le="7200.0") == 1
    assert grown.of("stateroom_claim_seconds_count") == 1, "a claim that gets nothing is none"


async def test_a_job_queued_again_waits_since_then() -> None:
    await factories.make_run()
    claimed = await take()
    await long_ago()
    grown = Growth()
    assert await claims.release(claimed.job.id, claimed.claim.number)
    again = await take()
    run = await Run.get(id=again.job.run_id)
    await moves.move(run, "start", claim=again.claim)
    await long_ago()
    await moves.move(run, "requeue", claim=again.claim)
    await take()
    assert grown.of("stateroom_job_wait_seconds_count", **{"class": "plan"}) == 2
    assert grown.of("stateroom_job_wait_seconds_sum", **{"class": "plan"}) < LONG


async def read(name: str) -> dict[str, float]:
    """A family of the database's, by its label."""
    [family] = [one for one in await figures.of_the_queue(pending=0) if one.name == name]
    return {"".join(one.labels.values()): one.value for one in family.samples}


async def test_the_age_of_a_class_is_that_of_its_eldest_waiting_job() -> None:
    organization = await factories.make_organization()
    numbers = await crowd(organization, 3)
    await long_ago(number=numbers[1])
    await crowd(organization, 1, priority=2)
    assert LONG <= (await read("stateroom_queue_age_seconds"))["plan"] < 2 * LONG
    assert (await read("stateroom_queue_age_seconds"))["apply"] == 0
    await Job.filter(number=numbers[1]).update(worker_id="wrk-1")
    assert (await read("stateroom_queue_age_seconds"))["plan"] < LONG
    assert await read("stateroom_queue_jobs") == {"apply": 0, "plan": 2, "speculative": 1}
    assert await read("stateroom_jobs_running") == {"apply": 0, "plan": 1, "speculative": 0}


async def test_a_lease_that_expired_is_counted_once_whoever_sees_it(settings: Settings) -> None:
    """Three that are claimed and never begun, and an apply that was, seen by two workers' sweepers, twice each."""
    run = await factories.make_run()
    await factories.plan(run)
    await moves.move(run, "confirm")
    apply = await take()
    await run.refresh_from_db()
    await moves.move(run, "start", claim=apply.claim)
    for _ in range(3):
        await factories.make_run()
        await take()
    sweepers = [Sweeper(cast("Station", Place(settings, f"wrk-{number}"))) for number in (8, 9)]
    hands = Shifted()
    grown = Growth()
    with clock.using(hands):
        for sweeper in sweepers:
            await sweeper.sweep()
        hands.ahead += settings.lease_expire + 1
        for sweeper in sweepers * 2:
            await sweeper.sweep()
    assert grown.of("stateroom_leases_expired_total", phase="plan") == 3
    assert grown.of("stateroom_leases_expired_total", phase="apply") == 1
    assert await read("stateroom_jobs_lost") == {"": 1}
    assert await read("stateroom_queue_jobs") == {"apply": 0, "plan": 3, "speculative": 0}


class Place:
    """As much of a station as a sweeper needs while nobody has to finish anything."""

    def __init__(self, settings: Settings, worker_id: str) -> None:
        self.settings, self.worker_id = settings, worker_id


async def test_each_statement_and_each_object_is_counted_by_what_it_did() -> None:
    workspace = await factories.make_workspace()
    grown = Growth()
    for _ in range(3):
        await Job.filter(id="job-none").count()
    await Job.filter(id="job-none").update(losses=1)
    assert grown.of("stateroom_database_seconds_count", statement="select") == 3
    assert grown.of("stateroom_database_seconds_count", statement="update") == 1
    assert grown.of("stateroom_database_seconds_sum", statement="select") > 0
    hands = Shifted()
    grown = Growth()
    with clock.using(hands):
        stored = await objects.put("log", workspace.organization_id, slowly(hands))
        assert await objects.read(stored) == b"content"
        await objects.delete(stored)
    for operation in ("put", "get", "delete"):
        assert grown.of("stateroom_objects_seconds_count", operation=operation) == 1, operation
        assert 0 < grown.of("stateroom_objects_seconds_sum", operation=operation) < LONG, operation


class Shifted(clock.SystemClock):
    """The machine's own, moved on by hand."""

    ahead = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead


async def slowly(hands: Shifted) -> AsyncIterator[bytes]:
    """An upload that takes two hours."""
    yield b"con"
    hands.ahead += 2 * LONG
    yield b"tent"

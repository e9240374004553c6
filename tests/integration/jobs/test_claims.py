"""Jobs are taken, held, lost and closed."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from app import clock
from app.execution import recovery
from app.jobs import claims
from app.jobs.models import Job
from app.organizations.models import Organization
from app.runs import moves
from app.runs.models import Run
from app.settings import Settings
from app.storage.database import in_transaction
from tests import factories

pytestmark = pytest.mark.usefixtures("opened")

TOOLS = {"terraform/1.11.4"}


async def a_run(organization: Organization | None = None, **given: Any) -> str:
    workspace = await factories.make_workspace(organization, terraform_version="1.11.4")
    return (await factories.make_run(workspace, **given)).id


async def take(worker: str = "wrk-1") -> claims.Claimed:
    claimed = await claims.claim(worker, TOOLS)
    assert claimed is not None
    return claimed


async def test_nothing_waits_nothing_is_claimed() -> None:
    assert await claims.claim("wrk-1", TOOLS) is None


async def test_only_what_the_worker_can_run_is_claimed() -> None:
    await a_run()
    assert await claims.claim("wrk-1", {"terraform/1.5.7", "opentofu/1.11.4"}) is None
    assert await claims.claim("wrk-1", TOOLS) is not None


async def test_organizations_take_turns_and_speculative_plans_come_last() -> None:
    flooding, calm = await factories.make_organization(), await factories.make_organization()
    flood = [await a_run(flooding) for _ in range(3)]
    speculative = await a_run(calm, speculative=True)
    late = await a_run(calm)
    order = [(await take()).job.run_id for _ in range(5)]
    assert order == [flood[0], late, flood[1], flood[2], speculative]


async def test_an_organization_at_its_cap_waits() -> None:
    organization = await factories.make_organization()
    await Organization.filter(id=organization.id).update(running_jobs_cap=1)
    await a_run(organization)
    await a_run(organization)
    first = await take()
    assert await claims.claim("wrk-1", TOOLS) is None
    await claims.close(first.claim)
    assert await claims.claim("wrk-1", TOOLS) is not None


async def test_many_slots_at_once_never_take_the_same_job() -> None:
    expected = {await a_run() for _ in range(6)}
    taken = await asyncio.gather(*(claims.claim(f"wrk-{number}", TOOLS) for number in range(12)))
    found = [claimed.job.run_id for claimed in taken if claimed is not None]
    assert len(found) == 6
    assert set(found) == expected


async def test_a_holder_that_lost_its_job_can_write_nothing() -> None:
    await a_run()
    first = await take("wrk-1")
    assert await claims.release(first.job.id, first.claim.number)
    second = await take("wrk-2")
    assert second.job.id == first.job.id
    assert await claims.renew(first.claim) is None
    assert not await claims.close(first.claim)
    with pytest.raises(claims.Lost):
        async with in_transaction():
            await claims.hold(first.claim)
    async with in_transaction():
        await claims.hold(second.claim)


async def test_a_job_queued_again_keeps_its_place() -> None:
    organization = await factories.make_organization()
    first = await a_run(organization)
    await a_run(organization)
    claimed = await take()
    run = await claimed.job.run
    await moves.move(run, "start", claim=claimed.claim)
    await moves.move(run, "requeue", claim=claimed.claim)
    again = await take()
    assert again.job.run_id == first
    assert again.claim.number == claimed.claim.number + 1


async def test_a_worker_that_starts_again_takes_its_open_jobs_at_once() -> None:
    await a_run()
    await a_run()
    mine, others = await take("wrk-1"), await take("wrk-2")
    [again] = await claims.take_over("wrk-1")
    assert again.job.id == mine.job.id
    assert await claims.renew(mine.claim) is None
    assert await claims.renew(again.claim) is not None
    assert await claims.renew(others.claim) is not None


class Clock:
    """A clock moved by hand."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC)

    def monotonic(self) -> float:
        return self.seconds


async def test_a_lease_lapses_when_it_stood_still_by_the_watchers_own_clock(settings: Settings) -> None:
    await a_run()
    claimed = await take()
    watch, hands = claims.Watch(), Clock()
    with clock.using(hands):
        assert await watch.lapsed() == []
        hands.seconds = settings.lease_expire - 1
        await claims.renew(claimed.claim)
        assert await watch.lapsed() == []
        hands.seconds += settings.lease_expire - 1
        assert await watch.lapsed() == []
        hands.seconds += 1
        [job] = await watch.lapsed()
    assert job.id == claimed.job.id


async def test_a_lapsed_job_is_seized_once_and_not_if_its_holder_moved() -> None:
    await a_run()
    claimed = await take()
    seen = await Job.get(id=claimed.job.id)
    await claims.renew(claimed.claim)
    assert await claims.seize(seen, "wrk-2") is None
    seen = await Job.get(id=claimed.job.id)
    won = await asyncio.gather(*(claims.seize(seen, f"wrk-{number}") for number in range(4)))
    assert len([one for one in won if one is not None]) == 1
    assert await claims.renew(claimed.claim) is None


async def test_a_lapsed_apply_is_given_up_only_without_any_sign_of_life(settings: Settings) -> None:
    await a_run()
    claimed = await take()
    watch, hands = claims.Watch(), Clock()
    with clock.using(hands):
        assert await claims.lapse(await Job.get(id=claimed.job.id))
        assert await watch.given_up() == []
        hands.seconds = settings.adoption_wait - 1
        await Job.filter(id=claimed.job.id).update(life=1)
        assert await watch.given_up() == []
        hands.seconds += settings.adoption_wait - 1
        assert await watch.given_up() == []
        hands.seconds += 1
        assert [job.id for job in await watch.given_up()] == [claimed.job.id]
        assert await claims.renew(claimed.claim) is not None
        assert await watch.given_up() == []


async def test_a_job_is_not_taken_back_as_never_begun_once_its_holder_has_begun_it() -> None:
    unbegun = await a_run()
    claimed = await take()
    assert await recovery.release_unbegun(claimed.job)
    assert (await Job.get(run_id=unbegun)).worker_id is None

    claimed = await take("wrk-2")
    seen_before = await Job.get(id=claimed.job.id)
    await moves.move(await Run.get(id=unbegun), "start", claim=claimed.claim)
    assert not await recovery.release_unbegun(seen_before)
    assert (await Job.get(run_id=unbegun)).worker_id == "wrk-2"

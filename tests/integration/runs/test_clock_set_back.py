"""The wall clock goes back an hour in the middle of a run: nothing that counts is told by it."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from app import clock, runs
from app.access import tokens
from app.access.actors import SYSTEM
from app.jobs import claims
from app.runs import lifecycle, moves
from app.runs.models import Run, RunEvent
from tests import factories

pytestmark = pytest.mark.usefixtures("opened")


class SetBack:
    """The machine's clocks, the wall's an hour behind."""

    def now(self) -> datetime:
        return datetime.now(UTC) - timedelta(hours=1)

    def monotonic(self) -> float:
        return time.monotonic()


async def test_a_run_goes_on_and_its_times_never_go_back() -> None:
    user = await factories.make_user()
    organization = await factories.make_organization(owner=user)
    token = await factories.make_token(user)
    workspace = await factories.make_workspace(organization)
    run = await factories.make_run(workspace)
    behind = await factories.make_run(workspace)
    claimed = await factories.take_job()
    await run.refresh_from_db()
    await moves.move(run, "start", claim=claimed.claim)
    with clock.using(SetBack()):
        late = await factories.make_run(workspace)
        assert await claims.renew(claimed.claim) is not None
        assert await claims.Watch().lapsed() == []
        tokens.forget_known()
        assert (await tokens.authenticate(token)).id == user.id
        await moves.move(run, "finish", claim=claimed.claim, has_changes=True)
        await claims.close(claimed.claim)
        await runs.confirm(SYSTEM, run)
        applying = await factories.take_job()
        assert applying.job.run_id == run.id
        await run.refresh_from_db()
        await moves.move(run, "start", claim=applying.claim)
        await runs.cancel(SYSTEM, run)
        await moves.move(run, "finish", claim=applying.claim)
        await claims.close(applying.claim)
    events = await RunEvent.filter(run_id=run.id).order_by("number")
    stamps = [run.status_timestamps[lifecycle.timestamp_key(event.status)] for event in events[1:]]
    assert stamps == sorted(stamps)
    assert [event.action for event in events][-3:] == ["start", "cancel", "finish"]
    # Who was queued first goes first, whatever the clock said when they came.
    assert (await Run.get(id=behind.id)).status == "plan_queued"
    assert lifecycle.is_pending(await Run.get(id=late.id))


async def test_a_cancel_asked_before_the_clock_went_back_can_be_forced() -> None:
    run = await factories.make_run()
    claimed = await factories.take_job()
    await run.refresh_from_db()
    await moves.move(run, "start", claim=claimed.claim)
    await runs.cancel(SYSTEM, run)
    assert not lifecycle.is_force_cancelable(run)
    with clock.using(SetBack()):
        await runs.force_cancel(SYSTEM, run)
    assert lifecycle.is_final(run)

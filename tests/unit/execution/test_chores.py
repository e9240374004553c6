"""A worker's chores are measured, whatever becomes of them."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from app import clock, worker
from app.errors import Unavailable
from tests.measured import Growth


class Hands(clock.SystemClock):
    ahead = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead


@pytest.mark.parametrize(
    ("outcome", "raised"),
    [("done", None), ("away", Unavailable("The database is away.")), ("failed", ValueError("a bug"))],
)
async def test_a_chore_is_counted_by_its_outcome_and_how_long_it_took(outcome: str, raised: Exception | None) -> None:
    hands, twice = Hands(), asyncio.Event()

    async def do() -> None:
        if grown.of("stateroom_chore_seconds_count", **labels):
            twice.set()
            await asyncio.Event().wait()
        hands.ahead += 600
        if raised is not None:
            raise raised

    labels = {"chore": f"a chore that is {outcome}", "outcome": outcome}
    grown = Growth()
    with clock.using(hands):
        going = asyncio.create_task(worker._every(0, labels["chore"], do))
    await twice.wait()
    going.cancel()
    with suppress(asyncio.CancelledError):
        await going
    assert grown.of("stateroom_chore_seconds_count", **labels) == 1, "the next has not ended"
    assert 600 <= grown.of("stateroom_chore_seconds_sum", **labels) < 1200

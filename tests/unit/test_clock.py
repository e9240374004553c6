"""Time is UTC in milliseconds, and each task can have its own."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta, timezone

import pytest

from app import clock


class Stopped:
    def __init__(self, moment: datetime) -> None:
        self.moment = moment

    def now(self) -> datetime:
        return self.moment

    def monotonic(self) -> float:
        return 42.0


THEN = datetime(2026, 3, 4, 5, 6, 7, 89_999, tzinfo=UTC)


def test_now_is_utc_and_has_whole_milliseconds() -> None:
    assert clock.now().tzinfo is UTC
    assert clock.now().microsecond % 1000 == 0
    with clock.using(Stopped(THEN)):
        assert clock.now() == THEN.replace(microsecond=89_000)


@pytest.mark.parametrize(
    ("moment", "written"),
    [
        (THEN, "2026-03-04T05:06:07.089Z"),
        (THEN.replace(microsecond=0), "2026-03-04T05:06:07.000Z"),
        (THEN.astimezone(timezone(timedelta(hours=-7))), "2026-03-04T05:06:07.089Z"),
    ],
)
def test_the_wire_has_milliseconds_and_z(moment: datetime, written: str) -> None:
    assert clock.wire(moment) == written


def test_a_time_without_a_zone_is_not_written() -> None:
    with pytest.raises(ValueError, match="without a zone"):
        clock.wire(datetime(2026, 1, 1))


async def test_each_task_lives_by_its_own_clock() -> None:
    async def now() -> datetime:
        return clock.now()

    async def there(moment: datetime) -> tuple[datetime, float]:
        with clock.using(Stopped(moment)):
            await asyncio.sleep(0)
            return await asyncio.create_task(now()), clock.monotonic()

    one, two = THEN.replace(microsecond=0), THEN.replace(year=2030, microsecond=0)
    assert [*await asyncio.gather(there(one), there(two))] == [(one, 42.0), (two, 42.0)]
    assert clock.now() != two

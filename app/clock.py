"""What time it is.

All of Stateroom asks here, so a simulation can give every actor a clock of its own that runs, stops and
jumps. Two times: `now` is for people and the wire and may jump; `monotonic` is for measuring how long
something took.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    def now(self) -> datetime: ...

    def monotonic(self) -> float: ...


class SystemClock:
    """The machine's own."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


_SYSTEM: Clock = SystemClock()
_clock: ContextVar[Clock] = ContextVar("clock", default=_SYSTEM)


def now() -> datetime:
    """The time in UTC, whole milliseconds: what is stored is exactly what the wire will say."""
    moment = _clock.get().now()
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def monotonic() -> float:
    """Seconds since some moment.  Never goes back, means nothing to another process."""
    return _clock.get().monotonic()


def wire(moment: datetime) -> str:
    """As every document and message writes it: ``2026-03-04T05:06:07.089Z``."""
    if moment.tzinfo is None:
        raise ValueError("a time without a zone cannot be written down")
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


@contextmanager
def using(clock: Clock) -> Iterator[None]:
    """Let this task, and the tasks it starts meanwhile, live by *clock*."""
    token = _clock.set(clock)
    try:
        yield
    finally:
        _clock.reset(token)

"""An event loop whose time stands still until the driver moves it."""

from __future__ import annotations

import asyncio
import contextvars
import selectors
from collections.abc import Callable
from typing import Any

from tests.simulation.actors import ACTOR, Actor

#: Real seconds without a sign of the database after which a history is given up: a bound for hangs, nothing else.
PATIENCE = 60.0


class Stuck(Exception):
    """Nothing goes on any more and nobody drives."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """`quiet_moment` waits until nothing is left to do; then the driver lets someone go on, or time pass."""

    def __init__(self) -> None:
        self.now = 0.0
        #: Round trips to the database that are on their way.
        self.busy = 0
        self._driver: asyncio.Future[None] | None = None
        super().__init__(_Selector(self))

    def time(self) -> float:
        return self.now

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., Any], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        """As ever, but what a frozen process set is heard when it thaws, and what a dead one set never."""
        context = context or contextvars.copy_context()
        actor = context.get(ACTOR)
        if actor is None:
            return super().call_at(when, callback, *args, context=context)
        return super().call_at(when, _fire, actor, callback, args, context=context)

    async def quiet_moment(self) -> None:
        self._driver = self.create_future()
        await self._driver

    def let_time_pass(self, at_most: float) -> None:
        """To the next timer anybody set, or *at_most* seconds."""
        timers = self._timers()
        self.now = min([self.now + at_most, *timers[:1]])

    def next_timer(self) -> float | None:
        timers = self._timers()
        return timers[0] if timers else None

    def _timers(self) -> list[float]:
        return sorted(handle.when() for handle in self._scheduled if not handle.cancelled())  # type: ignore[attr-defined]

    def _quiet(self) -> None:
        if self._driver is None:
            raise Stuck("nothing is left to do, and the driver waits for something else than a quiet moment")
        driver, self._driver = self._driver, None
        driver.set_result(None)


def _fire(actor: Actor, callback: Callable[..., Any], args: tuple[Any, ...]) -> None:
    actor.when_awake(callback, *args)


class _Selector(selectors.DefaultSelector):
    """Asked for events with nothing ready to run, it says whether this is a quiet moment."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[Any]:
        if self._loop.busy:
            found = super().select(0 if timeout == 0 else PATIENCE)
            if not found and timeout != 0:
                raise Stuck("the database has not answered for long")
            return found
        if timeout != 0:  # nothing but a database ever comes from outside
            self._loop._quiet()
        return []

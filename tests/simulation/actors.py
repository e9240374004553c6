"""Who acts in a history: each with a clock of its own, and parked wherever the driver has not let it go on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from app import clock

EPOCH = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)

#: Whose code runs; None is the driver's.
ACTOR: ContextVar[Actor | None] = ContextVar("actor", default=None)


class Died(BaseException):
    """The process is gone: raised inside a transaction so that it is rolled back, and never seen beyond it."""


@dataclass
class ActorClock:
    """The loop's time, seen through a watch that jumps (`skew`) and a monotonic one that began somewhere."""

    skew: float = 0.0
    began: float = 0.0

    def now(self) -> datetime:
        return EPOCH + timedelta(seconds=asyncio.get_running_loop().time() + self.skew)

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time() + self.began


@dataclass(eq=False)
class Waiter:
    """An actor at a border."""

    actor: Actor
    what: str
    future: asyncio.Future[None]
    #: What the driver lets happen to this step, if anything (`faults.Fault`).
    fault: Any = None


@dataclass(eq=False)
class Actor:
    name: str
    crowd: Crowd
    watch: ActorClock = field(default_factory=ActorClock)
    #: Which worker it is; empty for everybody else.
    worker_id: str = ""
    is_frozen: bool = False
    is_dead: bool = False
    #: What it is about, for the record and the invariants: ``unlock ws-…``.
    doing: str = ""
    tasks: list[asyncio.Task[Any]] = field(default_factory=list)
    _held: list[tuple[Callable[..., Any], tuple[Any, ...]]] = field(default_factory=list)

    def begin(self, work: Awaitable[Any]) -> asyncio.Task[Any]:
        """Let it do *work*, by its own clock, until that ends or it dies."""
        context = copy_context()
        context.run(ACTOR.set, self)
        context.run(clock._clock.set, self.watch)
        task = asyncio.get_running_loop().create_task(_run(work), context=context)
        self.tasks.append(task)
        return task

    @property
    def is_busy(self) -> bool:
        return any(not task.done() for task in self.tasks)

    def when_awake(self, callback: Callable[..., Any], *args: Any) -> None:
        """Call now, or once it has thawed, or never if it is dead."""
        if self.is_frozen:
            self._held.append((callback, args))
        elif not self.is_dead:
            callback(*args)

    def freeze(self) -> None:
        self.is_frozen = True

    def thaw(self) -> None:
        self.is_frozen = False
        held, self._held = self._held, []
        for callback, args in held:
            self.when_awake(callback, *args)

    def die(self) -> None:
        """Nothing of it goes on; what it holds in memory is gone."""
        self.is_dead, self.is_frozen = True, False
        self._held.clear()


async def _run(work: Awaitable[Any]) -> Any:
    return await work


@dataclass(eq=False)
class Crowd:
    """Everyone who waits at a border, in the order of their arrival."""

    waiting: list[Waiter] = field(default_factory=list)
    is_over: bool = False

    def ready(self) -> list[Waiter]:
        return [one for one in self.waiting if not one.actor.is_frozen and not one.actor.is_dead]


async def border(what: str) -> Waiter | None:
    """Park until the driver says; None for the driver itself.  Raises what the driver lets fail *before* the step."""
    actor = ACTOR.get()
    if actor is None:
        return None
    if actor.crowd.is_over:
        raise asyncio.CancelledError
    waiter = Waiter(actor, what, asyncio.get_running_loop().create_future())
    actor.crowd.waiting.append(waiter)
    try:
        await waiter.future
    finally:
        if waiter in actor.crowd.waiting:
            actor.crowd.waiting.remove(waiter)
    return waiter


async def hang() -> None:
    """What the rest of a dead process does."""
    actor = ACTOR.get()
    if actor is not None and actor.crowd.is_over:
        raise asyncio.CancelledError
    await asyncio.get_running_loop().create_future()

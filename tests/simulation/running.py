"""Run histories in this process, one after the other, on one database; say what broke and how to see it again."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from tests.simulation.history import Ground, History, staged
from tests.simulation.invariants import Broken
from tests.simulation.loop import VirtualLoop

#: Steps of a broken history that are told: the rest is seen by replaying it.
LAST = 60


@dataclass
class Failure:
    seed: int
    database: str
    sentence: str
    story: str
    long: int = 1

    @property
    def headline(self) -> str:
        return f"seed {self.seed} on {self.database}: {self.sentence}"

    def __str__(self) -> str:
        more = f" LONG={self.long}" if self.long > 1 else ""
        again = f"make simulate SEED={self.seed} DATABASE={self.database}{more}"
        return f"{self.story}\n\n{self.headline}\nTo see it again: {again}"


def simulate(
    seeds: Sequence[int],
    ground: Ground,
    *,
    long: int = 1,
    tell: bool = False,
    broken: Callable[[], AbstractContextManager[object]] = nullcontext,
    first_only: bool = False,
) -> list[Failure]:
    """The histories of *seeds* that broke an invariant.

    *broken* changes the product while they are lived, so that the simulation can be seen to notice.
    """
    failures: list[Failure] = []

    async def live() -> None:
        async with staged(ground) as made:
            gc.collect()
            gc.freeze()
            with broken():
                for seed in seeds:
                    gc.collect()
                    history = History(made, seed, long=long)
                    try:
                        await history.run()
                    except Broken as error:
                        story = history.told() if tell else history.told(LAST)
                        failures.append(Failure(seed, ground.database, str(error), story, long))
                        if first_only:
                            return

    gc.disable()  # tasks and futures of a history are garbage together, when it is over
    try:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(live())
    finally:
        gc.unfreeze()
        gc.enable()
    return failures

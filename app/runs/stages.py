"""Where the engines between plan and apply plug in: run tasks, cost estimates, policies, fetched configurations.

An engine is asked, when a run is created, whether it has something to do there, and the run keeps the answer: what is
configured later touches only later runs.  With nothing plugged in, no run has a stage and none pays for one.

What the server decides itself (cost, policies) is done inside a job, by a step in `execution/checks.py`.  What others
decide (tasks, a fetch) is waited for without one: the engine moves the run on by ``finish`` or ``fail``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from app.runs import lifecycle
from app.runs.models import Run
from app.runs.statuses import Stage
from app.workspaces.models import Workspace


async def _nothing(run: Run) -> None:
    """The engine has no rows of its own."""


@dataclass(frozen=True, slots=True)
class Engine:
    """What a stage needs of whoever works in it.

    `wants` is asked while the run is created, in its transaction.  `begin` is called in the transaction that enters the
    stage, `end` in the one that leaves it, however that came about; both may be called for a run that they know.
    """

    wants: Callable[[Run, Workspace], Awaitable[bool]]
    begin: Callable[[Run], Awaitable[None]] = _nothing
    end: Callable[[Run], Awaitable[None]] = _nothing


_engines: dict[Stage, Engine] = {}


def plug(stage: Stage, engine: Engine | None) -> None:
    """Let *engine* work in *stage*; None takes it out again."""
    if engine is None:
        _engines.pop(stage, None)
    else:
        _engines[stage] = engine


async def chosen(run: Run, workspace: Workspace) -> str:
    """The stages *run* will pass through, as `Run.stages` keeps them."""
    return " ".join([stage for stage in Stage if stage in _engines and await _engines[stage].wants(run, workspace)])


async def entered(run: Run, before: str) -> None:
    """Tell the engines that *run* has left the status *before* for its present one, inside that transaction."""
    left, reached = lifecycle.stage_of(before), lifecycle.stage_of(run.status)
    if left in _engines:
        await _engines[left].end(run)
    if reached in _engines:
        await _engines[reached].begin(run)

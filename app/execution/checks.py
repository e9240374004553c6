"""What the server itself decides about a finished plan: its cost, its policies.

It is done inside the plan's job, or in one of its own where run tasks came between, step by step: each step moves the
run on, so a job that is taken over goes on from the status it finds.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from app.execution.work import Work
from app.runs import lifecycle
from app.runs.statuses import Status

Step = Callable[[Work], Awaitable[None]]

#: By the status in which a step is due.  Its engine's plug in `runs/stages.py` says which runs get there.
STEPS: dict[Status, Step] = {}


async def make(work: Work) -> None:
    """Do what is due, until the run waits for somebody or has ended."""
    run = work.subject.run
    while lifecycle.is_checking(run):
        before = run.status
        await work.persist(lambda: _next(work))
        if lifecycle.is_still(run, before):
            raise RuntimeError(f"the step of {before} did not move {run.id} on")


async def _next(work: Work) -> None:
    run = work.subject.run
    step = STEPS.get(Status(run.status))
    if work.is_cancel_wanted or run.cancel_requested_at is not None:
        await work.move("stop")
    elif step is None:
        label = lifecycle.label(run)
        await work.move("fail", failure=f"This worker cannot do the stage {label}: its version is another one.")
    else:
        await step(work)

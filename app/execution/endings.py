"""How a phase ends, whoever holds it: with a result, before terraform ran, or without anybody having seen its end.

The order is a promise: results stored, every byte of the log visible, the run moved with all that follows by itself,
then the log's end, then the job closed, and with it the run's token.  A reader who saw the end of the log finds the run
confirmable.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from app.execution import checks, results, states_left
from app.execution.results import Kept
from app.execution.work import Work
from app.jobs import claims
from app.jobs.models import Job
from app.runs import lifecycle
from app.runs.models import Apply, Plan
from app.supervisor.spec import Result

log = structlog.get_logger(__name__)

Ending = Callable[[Work], Awaitable[None]]

#: How often a lost plan is queued again.
MOST_LOSSES = 2

_LOST_THREE_TIMES = (
    "The plan's worker was lost three times, so it is not tried again. The worker's log, or the machine's (was memory"
    " short?), says why."
)
_GENERATED = "\nThe configuration that this plan wrote is shown on the run's page.\n"
_GENERATED_AND_REFUSED = (
    "\nThis plan wrote configuration for what it would import, so it cannot be applied: the next plan, without that"
    " configuration, would destroy what was imported. Add what is shown on the run's page to your code and start a new"
    " run.\n"
)
_CHECK = "What was in progress may exist without being in the state: compare the two before the next run."


async def conclude_plan(work: Work, result: Result, kept: Kept | None) -> None:
    """Everything after the supervisor's end, for a plan."""

    async def store() -> None:
        columns = {"masked_count": result.masked, **(await kept.save() if kept is not None else {})}
        await Plan.filter(id=work.subject.phase_id).update(**columns)

    verb = _verb(work, result)
    if verb == "finish":
        await asyncio.to_thread(work.let_go_of_files)
    changes: dict[str, object] = {"has_changes": bool(result.has_changes)} if verb == "finish" else {}
    if kept is not None and kept.has_generated:
        changes["generated_configuration"] = True
        await work.add(_GENERATED if work.subject.run.plan_only else _GENERATED_AND_REFUSED)
    changes |= _failure(verb, result)
    await work.persist(work.log.show)
    await work.persist(lambda: work.move(verb, store, input_state_version_id=result.state.input_version, **changes))
    await checks.make(work)
    await _end(work)


async def resume_checks(work: Work) -> None:
    """Go on with a plan that has ended where its cost and policies are due, and end its job."""
    if work.has_log:
        await work.persist(work.log.open)
    await checks.make(work)
    await _end(work)


async def conclude_apply(work: Work, result: Result) -> None:
    """Everything after the supervisor's end, for an apply, whoever started it."""
    if result.state.left is not None:
        sentence = await work.persist(lambda: states_left.collect(work.subject.run, work.directory, result.state))
        await work.add(f"\n{sentence}\n")
    if result.outcome == "lost":
        await work.add(f"\n{result.message} {_CHECK}\n")
    counts = await asyncio.to_thread(results.counts_in, work.directory.control)

    async def store() -> None:
        columns = {"masked_count": result.masked, **counts.columns()}
        await Apply.filter(id=work.subject.phase_id).update(**columns)

    verb = _verb(work, result)
    await work.persist(work.log.show)
    await work.persist(lambda: work.move(verb, store, **_failure(verb, result)))
    await _end(work)


async def refuse(work: Work, sentence: str) -> None:
    """End the phase before terraform ran: the reason goes into the log, below the usual header."""
    await work.head()
    await work.add(f"\nError: {sentence}\n")
    await _finish(work, "stop" if work.is_cancel_wanted else "fail", sentence)


async def finish_without_result(work: Work, verb: str, sentence: str = "") -> None:
    """End a phase whose end nobody saw; the log says so, below the usual header."""
    if sentence and work.has_log:
        if work.log.is_bare:
            await work.head()
        await work.add(f"\nError: {sentence}\n")
    await _finish(work, verb, sentence)


async def leave(work: Work) -> None:
    """The run has moved on without us: only the log is sealed and the job closed."""
    log.info("a run was ended while its job was claimed", run=work.subject.run.id, job=work.claim.job_id)
    if work.has_log:
        await work.persist(work.log.open)
    await _end(work)


async def lose_plan(work: Work) -> None:
    """The supervisor or worker of a plan, or of its checks, was lost, and *work* holds the job: let it be done again,
    or end it."""
    job, run = work.subject.job, work.subject.run
    if verb_of_loss(work) == "stop":
        await _finish(work, "stop", "")
    elif job.losses >= MOST_LOSSES:
        await finish_without_result(work, "fail", _LOST_THREE_TIMES)
    else:

        async def count() -> None:
            await Job.filter(id=job.id).update(losses=job.losses + 1)

        await _let_wait(work, count)
        log.warning("a lost plan was queued again", run=run.id, losses=job.losses + 1)


async def give_back(work: Work) -> None:
    """A worker that is told to stop lets a plan wait for another, and does not count it as lost.

    It may have been told at any moment: before the run was at work, so that its job alone waits again, or when it had
    moved on.
    """
    await work.look_again()
    run, phase = work.subject.run, work.subject.job.phase
    if phase in (lifecycle.queued_phase(run), lifecycle.running_phase(run)):
        await _let_wait(work)
    else:
        await leave(work)


async def _let_wait(work: Work, count: Callable[[], Awaitable[None]] | None = None) -> None:
    """A plan that was begun is queued again; one that was not, and checks, wait where they stand."""
    if work.has_log and lifecycle.may_requeue(work.subject.run):
        await work.persist(work.log.suspend)
        await work.persist(lambda: work.move("requeue", count))
        return
    if work.has_log and lifecycle.is_checking(work.subject.run):
        await work.persist(work.log.suspend)
    if count is not None:
        await work.persist(count)
    await work.persist(lambda: claims.release(work.claim.job_id, work.claim.number))


async def _finish(work: Work, verb: str, sentence: str) -> None:
    failure = sentence if verb == "fail" else None
    await work.persist(work.log.show)
    await work.persist(lambda: work.move(verb, failure=failure))
    await _end(work)


async def _end(work: Work) -> None:
    if work.has_log:
        await work.persist(work.log.close)
    await work.persist(lambda: claims.close(work.claim))


def verb_of_loss(work: Work) -> str:
    """What the run does when its phase was lost: as it was asked to, if that was to be canceled."""
    return "stop" if work.is_cancel_wanted or work.subject.run.cancel_requested_at is not None else "fail"


def _verb(work: Work, result: Result) -> str:
    """What the run does when its phase has ended like this."""
    if result.outcome == "lost":
        return verb_of_loss(work)
    return {"finished": lifecycle.verb_of_success(work.subject.run), "errored": "fail", "canceled": "stop"}[
        result.outcome
    ]


def _failure(verb: str, result: Result) -> dict[str, object]:
    """Why a run ends errored: the columns that say it."""
    if verb != "fail":
        return {"failure": None}
    last = result.steps[-1].name if result.steps else "terraform"
    sentence = result.message or f"terraform {last} failed; its log says why."
    return {"failure": sentence, "is_timed_out": result.reason == "timed-out"}

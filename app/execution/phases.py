"""How a phase is carried out, from a claimed job to its supervisor's end."""

from __future__ import annotations

import asyncio
import dataclasses
import secrets
from collections.abc import Awaitable, Callable

import structlog

from app.errors import StateroomError
from app.execution import endings, results
from app.execution.orders import Order, prepare
from app.execution.results import Kept
from app.execution.work import Overtaken, Work
from app.jobs.claims import Lost
from app.runs import lifecycle
from app.runs.statuses import Status
from app.supervisor import disk
from app.supervisor.client import CannotLaunch
from app.supervisor.spec import Result

log = structlog.get_logger(__name__)

_TAKEN_UP = "\nThe worker that carried this plan out had to stop or was lost. The plan starts again.\n\n"
_CANCELED = "The run was canceled before terraform started."


async def carry_out(work: Work) -> None:
    """Do the phase that *work*'s run waits for; nothing, if somebody ended the run first."""
    run, phase = work.subject.run, work.subject.job.phase
    try:
        if lifecycle.queued_phase(run) == phase:
            await PHASES[Status(run.status)](work)
        elif lifecycle.is_checking(run) and lifecycle.running_phase(run) == phase:
            await endings.resume_checks(work)
        else:
            await endings.leave(work)
    except Overtaken:
        await endings.leave(work)


async def plan(work: Work) -> None:
    order = await _started(work)
    result = await _launched(work, order) if order is not None else None
    if order is None or result is None:
        return
    if result.outcome == "lost" and not work.is_cancel_wanted:
        await endings.lose_plan(work)
        return
    await endings.conclude_plan(work, *await _kept(work, order, result))


async def _kept(work: Work, order: Order, result: Result) -> tuple[Result, Kept | None]:
    """Store what the plan left; on a full disk it ends as one that failed."""
    try:
        return result, await work.persist(lambda: results.keep(work.subject, order, result))
    except OSError as error:
        if (sentence := disk.full(error)) is None:
            raise
    await work.add(f"\nError: {sentence}\n")
    return dataclasses.replace(result, outcome="errored", message=sentence), None


async def apply(work: Work) -> None:
    order = await _started(work)
    result = await _launched(work, order) if order is not None else None
    if result is not None:
        await endings.conclude_apply(work, result)


async def _launched(work: Work, order: Order) -> Result | None:
    try:
        return await work.launch(order.spec)
    except CannotLaunch as error:
        await endings.refuse(work, str(error))
        return None


async def _started(work: Work) -> Order | None:
    """The run at work, its log open and its order written; None if the phase ended because it cannot be carried out.

    The run's status comes first, then the log: whoever sees a line finds the run at work.
    """
    await work.persist(lambda: work.move("start", work.sign))
    if await work.persist(work.log.open):
        await work.add(_TAKEN_UP)
    try:
        order = await work.persist(lambda: _prepared(work))
    except Lost:
        raise
    except StateroomError as error:
        await endings.refuse(work, _CANCELED if work.is_cancel_wanted else error.sentence)
        return None
    except Exception as error:
        if isinstance(error, OSError) and (sentence := disk.full(error)) is not None:
            await endings.refuse(work, sentence)
            return None
        reference = secrets.token_hex(4)
        log.exception("a phase could not be prepared", job=work.claim.job_id, reference=reference)
        await give_up(work, reference)
        return None
    if work.is_cancel_wanted:
        await endings.refuse(work, _CANCELED)
        return None
    placed = dataclasses.replace(order.spec, log_offset=work.log.position, headed=work.has_header)
    return dataclasses.replace(order, spec=placed)


async def _prepared(work: Work) -> Order:
    """Tried again when the database or the object store was away, each time in an empty directory."""
    directory = work.directory
    if directory.control.exists():
        await asyncio.to_thread(directory.remove)
    job = work.subject.job
    release = await work.station.toolbox.get(
        job.engine, job.terraform_version, work.say, lambda: not work.is_cancel_wanted
    )
    return await prepare(work.subject, work.station, release, directory, work.station.uid_of(work.slot))


PHASES: dict[Status, Callable[[Work], Awaitable[None]]] = {
    Status.PLAN_QUEUED: plan,
    Status.APPLY_QUEUED: apply,
}


async def give_up(work: Work, reference: str) -> None:
    """A phase met an error of ours: the run ends with its reference, whatever the phase was doing."""
    sentence = f"Stateroom met an error of its own (reference {reference}); the worker's log says more."
    result = await work.ended()
    if work.subject.is_apply and result is not None:
        await endings.conclude_apply(work, dataclasses.replace(result, outcome="errored", message=sentence))
    elif lifecycle.is_checking(work.subject.run):
        await endings.finish_without_result(work, "fail", sentence)
    else:
        await endings.refuse(work, sentence)

"""Bugs that the product might have, each planted for a few histories: a simulation that notices none proves nothing."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from inspect import signature
from typing import Any
from unittest import mock

from app.execution import endings, phases, recovery
from app.execution.work import Work
from app.jobs import claims, order
from app.jobs.claims import Claim, Claimed, Watch
from app.runs import lifecycle, moves, queue
from app.runs.models import Run, RunEvent
from app.storage.database import in_transaction
from app.workspaces.models import Workspace

Mutation = Callable[[], AbstractContextManager[object]]


async def _free_any_lock(run: Run) -> None:
    await Workspace.filter(id=run.workspace_id).update(locked_by_run_id=None, locked_by_user_id=None)


async def _take_any_lock(run: Run) -> None:
    await Workspace.filter(id=run.workspace_id).update(locked_by_run_id=run.id, locked_by_user_id=None)


async def _step_from_anywhere(
    run: Run, verb: str, by: Any, why: str, comment: str | None, changes: dict[str, Any]
) -> RunEvent:
    """`moves._step` without its condition: whoever moves a run moves it from where it was when they looked."""
    before, status = run.status, lifecycle.target(run.status, verb)
    stamps = lifecycle.stamped(run, status, verb)
    run.update_from_dict({**changes, "status": status.value, "status_timestamps": stamps})
    run.event_count += 1
    await run.save()
    await moves._enter(run, before)
    return await moves._record(run, verb, by, why, comment)


async def _eldest_last(workspace: Workspace) -> list[RunEvent]:
    spoken = []
    if workspace.locked_by_user_id is None and workspace.locked_by_run_id is None and workspace.deleted_at is None:
        for run in await Run.filter(workspace_id=workspace.id, status="pending").order_by("-number").limit(1):
            spoken += await moves.speak(run, lifecycle.first_verb(run))
    return spoken


def _least_urgent(waiting: Any, served: Any, running: Any, turn: int) -> Any:
    return max(waiting, key=lambda line: (line[1], waiting[line]))


async def _take_whoever_has_it(worker_id: str, tools: Any) -> Claimed | None:
    """`claims.claim` which looks first, and takes what it saw without looking again."""
    heads = order.firsts(await order.heads(tools))
    if not heads:
        return None
    job = await claims.Job.get(number=min(heads.values()))
    async with in_transaction():
        return await claims._take(job, worker_id)


async def _hold_nothing(claim: Claim) -> None:
    pass


async def _begin_again(work: Work) -> None:
    """In place of `recovery.adopt`: the apply is carried out once more."""
    anew = Work(work.subject, work.claim, work.station, slot=work.slot)
    await anew.persist(anew.log.open)
    order = await phases._prepared(anew)
    await endings.conclude_apply(anew, await anew.launch(order.spec))


async def _see_no_lease_lapse(self: Watch) -> list[claims.Job]:
    return []


def _in_place_of(where: Any, name: str, new: Any) -> Mutation:
    """*new* for the product's own, which it must take the place of: a call that fails would be noticed as well."""
    wanted, given = (list(signature(one).parameters) for one in (getattr(where, name), new))
    if wanted != given:
        raise TypeError(f"{name} takes {wanted} now, and its mutation {given}")
    return partial(mock.patch.object, where, name, new)


MUTATIONS: dict[str, Mutation] = {
    "a run frees a lock that it does not hold": _in_place_of(moves, "_free_lock", _free_any_lock),
    "a run takes a lock that another holds": _in_place_of(moves, "_take_lock", _take_any_lock),
    "a run moves from a status it has left": _in_place_of(moves, "_step", _step_from_anywhere),
    "the youngest pending run goes first": _in_place_of(queue, "advance_within", _eldest_last),
    "a claim takes the least urgent job": _in_place_of(order, "next_line", _least_urgent),
    "a claim does not look again": _in_place_of(claims, "claim", _take_whoever_has_it),
    "a former holder is not refused": _in_place_of(claims, "hold", _hold_nothing),
    "an apply is begun again by its worker": _in_place_of(recovery, "adopt", _begin_again),
    "nobody ends a lapsed lease": _in_place_of(Watch, "lapsed", _see_no_lease_lapse),
}

"""Why a run does not go on, asked for one or for a page of them: API, pages, command line and log say the same.

What is read does not grow with how many wait: places are counted in an index, and the order of the jobs is foretold
no further than `jobs.order.HORIZON`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from app.access.models import User
from app.jobs import order, workers
from app.jobs.models import Job, Worker
from app.jobs.order import Foretold
from app.organizations.models import Organization
from app.runs import lifecycle
from app.runs.models import Run
from app.storage import database
from app.wording import counted
from app.workspaces import locking
from app.workspaces.models import Workspace

#: Of each of some pending runs, how many pending ones go before it in its workspace.
_BEFORE = """
SELECT mine.id, (
    SELECT count(*) FROM runs other
    WHERE other.workspace_id = mine.workspace_id AND other.status = mine.status
      AND other.plan_only = mine.plan_only AND other.save_plan = mine.save_plan AND other.number < mine.number
) AS before
FROM runs mine WHERE mine.id IN ({})
"""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A word for machines and the sentence for people, without its full stop; how many are ahead, since when.

    `ahead` are the runs, or the jobs, that must be taken or end before; None where that cannot be told.
    """

    reason: str
    sentence: str
    ahead: int | None = 0
    since: datetime | None = None


async def reason_of(run: Run, workspace: Workspace) -> Waiting | None:
    """What *run* waits for; None if it works, has ended, or waits for a person."""
    return (await _reasons([run], {workspace.id: workspace})).get(run.id)


async def reasons_of(runs: Sequence[Run]) -> dict[str, Waiting]:
    """What each of *runs* waits for, by its id; those that wait for nothing are left out."""
    wanted = {run.workspace_id for run in runs if lifecycle.is_pending(run)}
    found = {workspace.id: workspace for workspace in await Workspace.filter(id__in=list(wanted))} if wanted else {}
    return await _reasons(runs, found)


async def _reasons(runs: Sequence[Run], workspaces: Mapping[str, Workspace]) -> dict[str, Waiting]:
    pending = [run for run in runs if lifecycle.is_pending(run)]
    queued = [run for run in runs if lifecycle.queued_phase(run) is not None]
    said: dict[str, Waiting] = {}
    if pending:
        said |= await _turns(pending, workspaces)
    if queued:
        jobs = Job.filter(run_id__in=[run.id for run in queued], closed_at=None, worker_id=None)
        said |= {job.run_id: waiting for job, waiting in await slots(await jobs)}
    return said


# For the workspace


async def _turns(pending: Sequence[Run], workspaces: Mapping[str, Workspace]) -> dict[str, Waiting]:
    holders = await _holders(workspaces.values())
    before = await _before([run.id for run in pending])
    found = {run.id: _turn(run, workspaces[run.workspace_id], holders, before.get(run.id, 0)) for run in pending}
    return {id: waiting for id, waiting in found.items() if waiting is not None}


async def _holders(workspaces: Collection[Workspace]) -> dict[str, User | Run]:
    users = [workspace.locked_by_user_id for workspace in workspaces if workspace.locked_by_user_id]
    runs = [workspace.locked_by_run_id for workspace in workspaces if workspace.locked_by_run_id]
    found: list[User | Run] = list(await User.filter(id__in=users)) if users else []
    found += await Run.filter(id__in=runs) if runs else []
    return {holder.id: holder for holder in found}


async def _before(run_ids: Sequence[str]) -> dict[str, int]:
    rows = await database.client().execute_query_dict(_BEFORE.format(database.marks(len(run_ids))), list(run_ids))
    return {row["id"]: row["before"] for row in rows}


def _turn(run: Run, workspace: Workspace, holders: Mapping[str, User | Run], before: int) -> Waiting | None:
    if workspace.locked_by_user_id is not None:
        holder = holders.get(workspace.locked_by_user_id)
        name = locking.person(holder if isinstance(holder, User) else None, workspace.locked_by_user_id)
        why = f": ‘{workspace.locked_reason}’" if workspace.locked_reason else ""
        return Waiting("locked", f"Locked by {name}{why}", before, workspace.locked_at)
    if lifecycle.passes_queue(run) or workspace.locked_by_run_id is None:
        return None
    holder = holders.get(workspace.locked_by_run_id)
    if not isinstance(holder, Run):
        return Waiting("behind-running", "Waiting for another run", before + 1, workspace.locked_at)
    if lifecycle.is_confirmable(holder):
        sentence = f"Waiting for ‘{holder.message}’ to be confirmed or discarded"
        return Waiting("behind-run", sentence, before + 1, workspace.locked_at)
    sentence = f"Waiting for ‘{holder.message}’, which {lifecycle.phrase(holder).lower()}"
    return Waiting("behind-running", sentence, before + 1, workspace.locked_at)


# For a worker


async def slots(jobs: Collection[Job]) -> list[tuple[Job, Waiting]]:
    """Why no worker has taken each of *jobs*, which wait."""
    if not jobs:
        return []
    known = await Worker.all().only("id", "tools", "takes", "problem", "slots", "seen_at")
    living = {worker.id for worker in await workers.living()}
    organizations = {job.organization_id for job in jobs}
    running = await order.running()
    limits = await order.caps(organizations)
    names = dict(await Organization.filter(id__in=list(organizations)).values_list("id", "name")) if limits else {}
    foretold = await order.foretell()
    said = []
    for job in jobs:
        crew = [worker for worker in known if worker.id in living]
        waiting = (
            _without_worker(job, crew, known)
            or _at_its_cap(job, limits, running, names)
            or _in_line(job, crew, sum(running.values()), foretold)
        )
        said.append((job, waiting))
    return said


def _without_worker(job: Job, living: Sequence[Worker], known: Sequence[Worker]) -> Waiting | None:
    able = [worker for worker in living if f"{job.engine}/{job.terraform_version}" in workers.taken_by(worker)]
    if known and not living:
        last = max(worker.seen_at for worker in known)
        sentence = (
            f"No worker is running; the last was seen at {last:%H:%M} UTC. An administrator can start one with"
            " `stateroom worker`"
        )
    elif not able:
        sentence = (
            f"No worker has {job.engine} {job.terraform_version}."
            " An administrator can start one with `stateroom worker`"
        )
    elif all(worker.problem for worker in able):
        sentence = f"No worker takes jobs: {able[0].problem}"
    else:
        return None
    return Waiting("no-worker", sentence, None, job.queued_at)


def _at_its_cap(
    job: Job, limits: Mapping[str, int], running: Mapping[str, int], names: Mapping[str, str]
) -> Waiting | None:
    limit = limits.get(job.organization_id)
    if limit is None or running.get(job.organization_id, 0) < limit:
        return None
    name, jobs = names.get(job.organization_id, "The organization"), "job" if limit == 1 else "jobs"
    sentence = f"{name} runs {limit} {jobs}, as many as it may at a time"
    return Waiting("share", sentence, None, job.queued_at)


def _in_line(job: Job, living: Sequence[Worker], running: int, foretold: Foretold) -> Waiting:
    ahead = foretold.ahead_of(job.number)
    place = f"{ordinal(ahead + 1)} in line" if ahead is not None else f"more than {len(foretold.numbers)} jobs ahead"
    well = [worker for worker in living if not worker.problem]
    slots = sum(worker.slots for worker in well)
    every = "The only worker is" if slots == 1 else f"All {slots} slots of {counted(len(well), 'worker')} are"
    busy = f"{every} busy" if running >= slots else "Waiting for a worker"
    return Waiting("slots", f"{busy}; {place}", ahead, job.queued_at)


def ordinal(number: int) -> str:
    """1st, 2nd, 3rd, 4th."""
    last = number % 10 if number % 100 not in (11, 12, 13) else 0
    return f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(last, 'th') }"

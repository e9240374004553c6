"""What must be true after every step, and what at the end; each told as a sentence when it is not."""

from __future__ import annotations

from dataclasses import dataclass, field

from app.runs import lifecycle
from app.runs.models import Run
from tests.simulation import order
from tests.simulation.observing import Row, Sight
from tests.simulation.terraform import World


class Broken(Exception):
    """An invariant does not hold."""


def require(is_so: object, sentence: str) -> None:
    if not is_so:
        raise Broken(sentence)


@dataclass
class Watchman:
    """Compares each sight with the last one."""

    world: World
    before: Sight = field(default_factory=Sight)

    def look(self, now: Sight, doing: str, worker_id: str) -> None:
        """After a step of that worker, or of somebody who is none and was *doing* that."""
        before, self.before = self.before, now
        applies(self.world)
        is_moved = now.runs is not before.runs
        if is_moved or now.workspaces is not before.workspaces:
            locks(now)
            freed(before, now, doing)
        if is_moved or now.phases is not before.phases:
            held(before, now, worker_id)
        if is_moved or now.jobs is not before.jobs:
            jobs(now)
            claims(before, now)
        if is_moved or now.events is not before.events:
            numbers(before, now)
            turns(before, now)
        if now.versions is not before.versions:
            written(before, now, doing)


def _of(row: Row) -> Run:
    return row  # type: ignore[return-value]


def locks(now: Sight) -> None:
    """A lock's holder is a run that is to have it, and who is to have it does."""
    for workspace in now.workspaces.values():
        holder = workspace.locked_by_run_id
        require(not (holder and workspace.locked_by_user_id), f"{workspace.id} is locked by a run and a person")
        if holder:
            run = now.runs[holder]
            require(run.workspace_id == workspace.id, f"{holder} holds the lock of another workspace, {workspace.id}")
            require(lifecycle.holds_lock(_of(run)), f"{holder} is {run.status} and holds the lock of {workspace.id}")
    for run in now.runs.values():
        applying = {"confirmed", "apply_queued", "applying"}
        if lifecycle.holds_lock(_of(run)) or run.status in applying:
            holder = now.workspaces[run.workspace_id].locked_by_run_id
            require(holder == run.id, f"{run.id} is {run.status} without the lock, which {holder or 'nobody'} holds")


def jobs(now: Sight) -> None:
    """Runs and jobs agree."""
    open_jobs: dict[tuple[str, str], Row] = {}
    for job in now.jobs.values():
        if job.closed_at is not None:
            continue
        key = (job.run_id, job.phase)
        require(key not in open_jobs, f"{job.run_id} has two open jobs for its {job.phase}")
        open_jobs[key] = job
        run = now.runs[job.run_id]
        if job.worker_id is None:
            queued = lifecycle.queued_phase(_of(run))
            require(queued == job.phase, f"a {job.phase} of {run.id} waits for a worker, but the run is {run.status}")
    for run in now.runs.values():
        queued, running = lifecycle.queued_phase(_of(run)), lifecycle.running_phase(_of(run))
        if queued:
            require((run.id, queued) in open_jobs, f"{run.id} is {run.status} and has no job")
        if running:
            found = open_jobs.get((run.id, running))
            require(found and found.worker_id is not None, f"{run.id} is {run.status} and nobody has its job")


def held(before: Sight, now: Sight, worker_id: str) -> None:
    """A worker moves no run, and seals no piece of a log, whose job another has."""
    if not worker_id:
        return
    holders = {(job.run_id, job.phase): job.worker_id for job in before.jobs.values() if job.closed_at is None}
    for run in now.runs.values():
        old = before.runs.get(run.id)
        if old is None or old.status == run.status:
            continue
        phase = lifecycle.running_phase(_of(old)) or lifecycle.running_phase(_of(run))
        if phase:
            holder = holders.get((run.id, phase))
            require(
                holder == worker_id, f"{worker_id} made {run.id} {run.status}, but {holder or 'nobody'} has its job"
            )
    for phase_id, piece in now.phases.items():
        earlier = before.phases.get(phase_id)
        if earlier is None or earlier.log_length == piece.log_length or earlier.log_closed_at is not None:
            continue
        holder = holders.get((piece.run_id, phase_id.partition("-")[0]))
        require(holder in (None, worker_id), f"{worker_id} wrote into the log of {phase_id}, whose job {holder} has")


def applies(world: World) -> None:
    for run_id, done in world.applied.items():
        require(done.executions <= 1, f"the apply of {run_id} was executed {done.executions} times")


def numbers(before: Sight, now: Sight) -> None:
    """Events are numbered without a gap, moves are in the table, stamps never go back."""
    counts: dict[str, int] = {}
    statuses: dict[str, str] = {}
    for event in now.events:
        counts[event.run_id] = counts.get(event.run_id, 0) + 1
        number = counts[event.run_id]
        require(event.number == number, f"event {number} of {event.run_id} has number {event.number}")
        last = statuses.get(event.run_id)
        if last is not None and event.status != last:
            allowed = {
                move.target.value for move in lifecycle.MOVES if move.verb == event.action and last in move.sources
            }
            require(event.status in allowed, f"{event.run_id} went from {last} to {event.status} by {event.action}")
        statuses[event.run_id] = event.status
    for run in now.runs.values():
        require(
            counts.get(run.id, 0) == run.event_count, f"{run.id} has {counts.get(run.id)} events of {run.event_count}"
        )
        require(
            statuses.get(run.id) == run.status, f"{run.id} is {run.status}, its last event says {statuses.get(run.id)}"
        )
        old = before.runs.get(run.id)
        if old is not None and old.status != run.status:
            require(old.status not in lifecycle.FINAL, f"{run.id} was {old.status} and is {run.status}")
            fresh = [at for key, at in run.status_timestamps.items() if old.status_timestamps.get(key) != at]
            latest = max(old.status_timestamps.values(), default="")
            require(
                all(at >= latest for at in fresh), f"a status timestamp of {run.id} went back: {run.status_timestamps}"
            )


def freed(before: Sight, now: Sight, doing: str) -> None:
    """A lock is freed by its holder alone, or by force where a person holds it."""
    for workspace in now.workspaces.values():
        old = before.workspaces.get(workspace.id)
        if old is None:
            continue
        run, person = old.locked_by_run_id, old.locked_by_user_id
        if run and workspace.locked_by_run_id != run:
            require(now.runs[run].status in lifecycle.FINAL, f"{run} is {now.runs[run].status} and lost its lock")
        if person and workspace.locked_by_user_id != person:
            may = doing in (f"unlock {workspace.id} {person}", f"force-unlock {workspace.id}")
            require(may, f"the lock of {person} on {workspace.id} was freed by ‘{doing}’")


def turns(before: Sight, now: Sight) -> None:
    """Runs leave *pending* in their order, and never past a person's lock."""
    for run in now.runs.values():
        old = before.runs.get(run.id)
        was_pending = old is None or old.status == "pending"
        if not was_pending or run.status in ("pending", *lifecycle.FINAL):
            continue
        workspace = before.workspaces.get(run.workspace_id)
        held = workspace is not None and workspace.locked_by_user_id is not None
        still = now.workspaces[run.workspace_id].locked_by_user_id is not None
        require(not (held and still), f"{run.id} started although a person holds its workspace")
        if run.plan_only or run.save_plan:
            continue
        ahead = [
            one.id
            for one in now.runs.values()
            if one.workspace_id == run.workspace_id
            and one.number < run.number
            and one.status == "pending"
            and not (one.plan_only or one.save_plan)
        ]
        require(not ahead, f"{run.id} started before {ahead}")


def claims(before: Sight, now: Sight) -> None:
    """A claim takes the job that the rule names."""
    for job in now.jobs.values():
        old = before.jobs.get(job.id)
        if old is None or old.worker_id is not None or job.worker_id is None or job.claim == old.claim:
            continue
        wanted = order.expected(before)
        require(
            wanted is not None and wanted.id == job.id,
            f"{job.id} (class {job.priority}) was claimed, but it was the turn of {wanted and wanted.id}"
            f" (class {wanted and wanted.priority})",
        )


def written(before: Sight, now: Sight, doing: str) -> None:
    """A state comes from whoever holds the lock; one that a run left, which was given up, from nobody's."""
    for version in now.versions.values():
        old = before.versions.get(version.id)
        if (old is not None and old.status == version.status) or version.status == "discarded":
            continue
        workspace = before.workspaces[version.workspace_id]
        if version.run_id is not None and not doing.startswith("rollback"):
            holder = workspace.locked_by_run_id or workspace.locked_by_user_id
            is_left = holder is None and before.runs[version.run_id].status in lifecycle.FINAL
            require(
                is_left or holder == version.run_id,
                f"{version.run_id} wrote a state of {workspace.id}, which {holder} holds",
            )


# At the end


def unsettled(now: Sight) -> list[str]:
    """What faults have left and time must put right."""
    left = [f"the {job.phase} job of {job.run_id} is open" for job in now.jobs.values() if job.closed_at is None]
    waits = {"planned", "planned_and_saved"}
    for run in now.runs.values():
        workspace = now.workspaces[run.workspace_id]
        rests = run.status in lifecycle.FINAL or run.status in waits or workspace.deleted_at is not None
        held = workspace.locked_by_user_id is not None or (workspace.locked_by_run_id and not run.plan_only)
        if not rests and not (run.status == "pending" and held):
            left.append(f"{run.id} is {run.status}, and nothing stands in its way")
        is_stale = run.input_state_version_id != workspace.current_state_version_id
        if run.status == "planned_and_saved" and workspace.deleted_at is None and is_stale:
            left.append(f"the saved plan of {run.id} rests on a state that is no longer current")
    left += [
        f"event {event.action} of {event.run_id} was never announced" for event in now.events if not event.announced_at
    ]
    for phase in now.phases.values():
        if phase.log_closed_at is not None and not phase.log_ended:
            left.append(f"the log of {phase.id} is closed and not sealed")
    return left


def kept(now: Sight, world: World) -> None:
    """Every state that terraform wrote is the workspace's, or the apply's errored state."""
    for run_id, done in world.applied.items():
        run = now.runs[run_id]
        if not done.state or done.is_gone_with_its_machine(run.status):
            continue
        found = {
            version.md5
            for version in now.versions.values()
            if version.workspace_id == done.workspace_id and version.status == "finalized" and not version.intermediate
        }
        found.add(now.phases[run_id.replace("run-", "apply-")].errored)
        require(
            done.state in found,
            f"{run_id} is {run.status} ({run.failure}), but what terraform did ({done.resources}) is in no state",
        )

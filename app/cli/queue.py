"""`stateroom queue`: what workers do, and what waits for them in which order and why."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from app.jobs.models import Job

CLASSES = ("apply", "plan", "speculative plan")


def queue(
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many of those that wait.")] = 50,
    data: Annotated[Path | None, typer.Option(help="The data directory of the installation.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object.")] = False,
) -> None:
    """Show the workers, the jobs they have, and those that wait, in the order in which they will be taken.

    \b
    stateroom queue
    stateroom queue --json
    """
    import json

    from app.cli import opening

    found = opening.run(data, gathered(limit))
    typer.echo(json.dumps(found, indent=2, ensure_ascii=False) if as_json else "\n".join(_lines(found)))


async def gathered(limit: int) -> dict[str, Any]:
    from app.jobs import order, workers
    from app.jobs.models import Job
    from app.runs import lists, waiting

    crew = [
        {"id": one.id, "name": one.name, "slots": one.slots, "tools": one.tools, "problem": one.problem}
        for one in await workers.living()
    ]
    held = Job.filter(closed_at=None, worker_id__isnull=False).order_by("number")
    running = [_told(job) for job in await held.select_related("run__workspace", "organization")]
    waits = Job.filter(closed_at=None, worker_id=None)
    near = list((await order.foretell()).numbers[:limit])
    rows = {job.number: job for job in await waits.filter(number__in=near).select_related(*_BESIDE)} if near else {}
    jobs = [rows[number] for number in near if number in rows]
    if len(jobs) < limit:
        far = waits.filter(number__not_in=near) if near else waits
        jobs += await far.order_by("priority", "number").limit(limit - len(jobs)).select_related(*_BESIDE)
    why = {job.id: reason for job, reason in await waiting.slots(jobs)}
    waiting_jobs = [{**_told(job), "position": at, "why": f"{why[job.id].sentence}."} for at, job in enumerate(jobs, 1)]
    return {
        "workers": crew,
        "running": running,
        "waiting": waiting_jobs,
        "waiting-count": await waits.count(),
        "pending-count": await lists.count_pending(),
    }


_BESIDE = ("run__workspace", "organization")


def _told(job: Job) -> dict[str, Any]:
    from app import clock

    return {
        "run": job.run_id,
        "organization": job.organization.name,
        "workspace": job.run.workspace.name,
        "class": CLASSES[job.priority],
        "tool": f"{job.engine} {job.terraform_version}",
        "worker": job.worker_id,
        "lost": job.lapsed,
        "queued-at": clock.wire(job.queued_at),
    }


def _lines(found: dict[str, Any]) -> list[str]:
    from app.cli.runs import printable
    from app.wording import counted

    slots = sum(one["slots"] for one in found["workers"])
    lines = [f"{counted(len(found['workers']), 'worker')}, {counted(slots, 'slot')}"]
    lines += [f"  {one['name']}  {one['problem'] or 'takes jobs'}" for one in found["workers"]]
    lines.append(f"{len(found['running'])} running")
    lines += [f"  {_line(job)}{'  its worker is lost' if job['lost'] else ''}" for job in found["running"]]
    lines.append(f"{found['waiting-count']} waiting")
    for job in found["waiting"]:
        lines += [f"  {job['position']}. {_line(job)}", f"     {printable(job['why'])}"]
    if more := found["waiting-count"] - len(found["waiting"]):
        lines.append(f"  and {more} more; --limit shows them")
    if pending := found["pending-count"]:
        lines.append(f"{pending} pending behind a lock; `stateroom runs --status pending` says whose")
    return lines


def _line(job: dict[str, Any]) -> str:
    return f"{job['run']}  {job['class']}  {job['organization']}/{job['workspace']}  {job['tool']}"

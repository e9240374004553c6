"""Who watches the log of a phase that waits for a slot reads why, after a few seconds: one line below the header.

The line is sealed in the transaction that finds the job still waiting, so a worker that claims it goes on behind it.
"""

from __future__ import annotations

from datetime import timedelta

from app import clock
from app.execution import log_header
from app.jobs.models import Job
from app.runs import logs, waiting
from app.runs.waiting import Waiting
from app.storage import database

AFTER = timedelta(seconds=5)
#: So many lines are written in one go.  Thousands that wait get theirs by and by, who is next first.
BATCH = 20

_UNTOLD = f"""
SELECT id FROM jobs
WHERE closed_at IS NULL AND worker_id IS NULL AND NOT told
ORDER BY number LIMIT {BATCH}
"""


async def write() -> int:
    """Tell the logs of jobs that have waited for a while.  How many were told."""
    before = clock.now() - AFTER
    jobs = [job for job in await _untold() if job.queued_at <= before]
    told = 0
    for job, reason in await waiting.slots(jobs):
        told += await logs.begin_waiting(job, f"{log_header.of(job)}{line(reason)}\n".encode())
    return told


def line(reason: Waiting) -> str:
    """What is said of *reason* in a log."""
    if reason.reason == "share":  # it begins with a name
        return f"Waiting for a worker: {reason.sentence}."
    if reason.reason != "slots":
        return f"Waiting for a worker: {reason.sentence[:1].lower()}{reason.sentence[1:].rstrip('.')}."
    if reason.ahead is None:
        return f"Waiting for a worker: {reason.sentence.rpartition('; ')[2]}."
    return f"Waiting for a worker: {reason.ahead} {'job' if reason.ahead == 1 else 'jobs'} ahead."


async def _untold() -> list[Job]:
    rows = await database.client().execute_query_dict(_UNTOLD)
    return await Job.filter(id__in=[row["id"] for row in rows]).order_by("number") if rows else []

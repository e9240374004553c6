"""The rule of product.md §4, written down once more without the product: whose job a claim must take."""

from __future__ import annotations

from tests.simulation.observing import Row, Sight


def expected(before: Sight) -> Row | None:
    """Of the jobs that wait in *before*, the one that the next claim takes, if every worker can run every job."""
    waiting = [job for job in before.jobs.values() if job.closed_at is None and job.worker_id is None]
    if not waiting:
        return None
    served = {(line.organization_id, line.priority): line.served for line in before.lines}
    if (before.counters.get("claims", 0) + 1) % 10 == 0:
        return min(waiting, key=lambda job: (served.get((job.organization_id, job.priority), 0), _first(job, waiting)))

    def rank(job: Row) -> tuple[int, int, int, int]:
        organization = job.organization_id
        running = sum(
            one.organization_id == organization and one.worker_id is not None and not one.lapsed
            for one in before.jobs.values()
            if one.closed_at is None
        )
        last = max((number for (owner, _), number in served.items() if owner == organization), default=0)
        return job.priority, running, last, job.number

    return min(waiting, key=rank)


def _first(job: Row, waiting: list[Row]) -> tuple[int, int]:
    """Its line's oldest job decides between lines; in the line, its own number."""
    line = (job.organization_id, job.priority)
    return min(one.number for one in waiting if (one.organization_id, one.priority) == line), job.number

"""The queue and its workers in figures, as the database has them now, and what workers report of themselves."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily, Metric

from app import clock
from app.jobs import workers
from app.jobs.models import Job
from app.measures import CLASSES, OF_THE_DATABASE
from app.storage import database

_WAITING = """
SELECT priority, count(*) AS jobs FROM jobs
WHERE closed_at IS NULL AND worker_id IS NULL GROUP BY priority
"""
_RUNNING = """
SELECT priority, count(*) AS jobs FROM jobs
WHERE closed_at IS NULL AND NOT worker_id IS NULL AND NOT lapsed GROUP BY priority
"""


async def of_the_queue(pending: int) -> list[Metric]:
    """A family for each name of `OF_THE_DATABASE`.  *pending* is how many runs wait for their turn in a workspace."""
    client = database.client()
    waiting = {row["priority"]: row["jobs"] for row in await client.execute_query_dict(_WAITING)}
    running = {row["priority"]: row["jobs"] for row in await client.execute_query_dict(_RUNNING)}
    eldest = {priority: await _age(priority) if priority in waiting else 0.0 for priority in range(len(CLASSES))}
    lost = await Job.filter(closed_at=None, worker_id__isnull=False, lapsed=True).count()
    crew = await workers.living()
    well = [worker for worker in crew if not worker.problem]
    return [
        _by_class("stateroom_queue_jobs", waiting),
        _by_class("stateroom_queue_age_seconds", eldest),
        _by_class("stateroom_jobs_running", running),
        _one("stateroom_jobs_lost", lost),
        _one("stateroom_runs_pending", pending),
        _gauge("stateroom_workers", "takes_jobs", {"yes": len(well), "no": len(crew) - len(well)}),
        _one("stateroom_worker_slots", sum(worker.slots for worker in well)),
    ]


async def of_workers() -> Iterator[tuple[str, str]]:
    """What each living worker reported last: its name and Prometheus' text."""
    return iter([(f"{worker.name}/{worker.id}", worker.figures) for worker in await workers.living() if worker.figures])


async def _age(priority: int) -> float:
    job = await Job.filter(closed_at=None, worker_id=None, priority=priority).order_by("queued_at").first()
    return max(0.0, (clock.now() - job.queued_at).total_seconds()) if job is not None else 0.0


def _by_class(name: str, values: dict[int, float]) -> Metric:
    return _gauge(name, "class", {word: values.get(priority, 0) for priority, word in enumerate(CLASSES)})


def _one(name: str, value: float) -> Metric:
    family = GaugeMetricFamily(name, OF_THE_DATABASE[name])
    family.add_metric([], value)
    return family


def _gauge(name: str, label: str, values: dict[str, float]) -> Metric:
    family = GaugeMetricFamily(name, OF_THE_DATABASE[name], labels=[label])
    for word, value in values.items():
        family.add_metric([word], value)
    return family

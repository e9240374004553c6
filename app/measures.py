"""What a process measures of itself, in Prometheus' terms; `docs/metrics.md` is made from it.

A worker sends its own with its sign of life, and the web shows them beside its own (`app/http/metrics.py`): one address
to scrape for a whole installation.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics, generate_latest
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

disable_created_metrics()  # type: ignore[no-untyped-call]  # when a series began says nothing that its counts do not
registry = CollectorRegistry()
ProcessCollector(registry=registry)
PlatformCollector(registry=registry)

_QUICK = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)
_LONG = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400)

database = Histogram(
    "stateroom_database_seconds",
    "How long statements took, waiting for the connection included; `statement` is the first word.",
    ("statement",),
    buckets=_QUICK,
    registry=registry,
)
objects = Histogram(
    "stateroom_objects_seconds",
    "How long the object store took to take, or to begin giving, an object.",
    ("operation",),
    buckets=(*_QUICK, 10, 30, 60),
    registry=registry,
)
claim = Histogram("stateroom_claim_seconds", "How long a claim took that got a job.", buckets=_QUICK, registry=registry)
job_wait = Histogram(
    "stateroom_job_wait_seconds",
    "From a job being queued to a worker taking it: claim latency; `class` is apply, plan or speculative.",
    ("class",),
    buckets=(0.01, 0.025, 0.05, *_LONG),
    registry=registry,
)
phase = Histogram(
    "stateroom_phase_seconds",
    "How long a worker had a phase; `status` is its run's when the worker let go.",
    ("phase", "status"),
    buckets=_LONG,
    registry=registry,
)
log_lag = Histogram(
    "stateroom_log_lag_seconds",
    "From terraform's line in the supervisor's file to its readers.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30),
    registry=registry,
)
leases_expired = Counter(
    "stateroom_leases_expired", "Leases that stood still and were ended.", ("phase",), registry=registry
)
chore = Histogram(
    "stateroom_chore_seconds",
    "How long sweeps and other chores of a worker took; `outcome` is done, away (a part did not answer) or failed.",
    ("chore", "outcome"),
    buckets=_QUICK,
    registry=registry,
)

#: The names of the priorities of jobs.
CLASSES = ("apply", "plan", "speculative")
#: What only the database knows is read from it at each scrape: name, and what it says.
OF_THE_DATABASE = {
    "stateroom_queue_jobs": "Jobs that wait for a worker, by class.",
    "stateroom_queue_age_seconds": "How long the job that waits longest has waited, by class; 0 if none does.",
    "stateroom_jobs_running": "Jobs that a worker has, by class.",
    "stateroom_jobs_lost": "Applies whose worker is lost and that wait to be adopted.",
    "stateroom_runs_pending": "Runs that wait for their turn in a workspace.",
    "stateroom_workers": "Workers that live, by whether they take jobs.",
    "stateroom_worker_slots": "Slots of the workers that take jobs.",
}


@contextmanager
def timed(series: Histogram) -> Iterator[None]:
    """Observe how long the block took, whatever its end."""
    started = time.perf_counter()
    try:
        yield
    finally:
        series.observe(time.perf_counter() - started)


def text() -> str:
    """All that this process measured, in Prometheus' text format."""
    return generate_latest(registry).decode()

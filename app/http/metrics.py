"""The page of metrics: what this process counts, what workers report, and what the database knows, as one text.

Routes are named by their pattern, never by a path.  A worker's figures carry its name in `worker`; the web's have none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from app.measures import registry

CONTENT_TYPE = CONTENT_TYPE_LATEST

_requests = Counter("stateroom_requests", "Requests answered.", ("route", "method", "status"), registry=registry)
_seconds = Histogram(
    "stateroom_request_seconds",
    "How long requests took; one for a log may be held.",
    ("route", "method"),
    buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
    registry=registry,
)
#: Others are anybody's to invent, and each would be a series of its own.
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def observe(route: str, method: str, status: int, seconds: float) -> None:
    """Count one request."""
    requests, durations = _series(route, method if method in _METHODS else "other", status)
    requests.inc()
    durations.observe(seconds)


@cache
def _series(route: str, method: str, status: int) -> tuple[Counter, Histogram]:
    """Looked up once: finding a series by its labels costs more than counting in it."""
    return _requests.labels(route, method, str(status)), _seconds.labels(route, method)


def text(database: Iterable[Metric] = (), workers: Iterable[tuple[str, str]] = ()) -> bytes:
    """All of it: this process', the *database*'s families, and each worker's name and text."""
    families: dict[str, Metric] = {}
    for family in (*registry.collect(), *database, *_reported(workers)):
        known = families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
        known.samples += family.samples
    together = CollectorRegistry(auto_describe=False)
    together.register(_Collected(families.values()))
    return generate_latest(together)


def _reported(workers: Iterable[tuple[str, str]]) -> Iterator[Metric]:
    for name, reported in workers:
        for family in text_string_to_metric_families(reported):
            family.samples = [sample._replace(labels={**sample.labels, "worker": name}) for sample in family.samples]
            yield family


class _Collected(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families

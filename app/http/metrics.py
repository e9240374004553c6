"""What this process counts, in Prometheus' text format.  Routes are named by their pattern, never by a path."""

from __future__ import annotations

from functools import cache

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

CONTENT_TYPE = CONTENT_TYPE_LATEST

registry = CollectorRegistry()
ProcessCollector(registry=registry)
PlatformCollector(registry=registry)

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


def text() -> bytes:
    return generate_latest(registry)

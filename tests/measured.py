"""By how much what this process measures has grown."""

from __future__ import annotations

from app import measures


def sample(name: str, **labels: str) -> float:
    return measures.registry.get_sample_value(name, labels) or 0.0


class Growth:
    """How much each series grew since this was made."""

    def __init__(self) -> None:
        self._before = {
            (one.name, frozenset(one.labels.items())): one.value
            for family in measures.registry.collect()
            for one in family.samples
        }

    def of(self, name: str, **labels: str) -> float:
        return sample(name, **labels) - self._before.get((name, frozenset(labels.items())), 0.0)

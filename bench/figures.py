"""What a row measures: a figure, what it is compared with, and the goal it should reach."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Effort:
    """How long to measure: in full, or quickly, to see whether the rows run at all."""

    quick: bool = False

    def of(self, full: int, quick: int) -> int:
        return quick if self.quick else full


@dataclass(frozen=True)
class Goal:
    """A bound on our figure, or on its ratio to the comparison."""

    limit: float
    on: Literal["ours", "ratio"] = "ours"
    at_least: bool = False

    def reached_by(self, figure: Figure) -> bool:
        value = figure.ours if self.on == "ours" else figure.ratio
        if value is None:
            return False
        return value >= self.limit if self.at_least else value <= self.limit

    def text(self, unit: str) -> str:
        sign = "≥" if self.at_least else "≤"
        if self.on == "ours":
            return f"{sign} {show(self.limit, unit)}"
        return f"{sign} {self.limit:.0%}" if self.at_least else f"{sign} {self.limit:.2f} ×"


@dataclass(frozen=True)
class Figure:
    """One line of the table."""

    what: str
    ours: float
    unit: str
    goal: Goal | None = None
    comparison: float | None = None
    compared_with: str = ""
    note: str = ""

    @property
    def ratio(self) -> float | None:
        return self.ours / self.comparison if self.comparison else None

    @property
    def reached(self) -> bool | None:
        """Whether the goal is reached; nothing where there is none."""
        return self.goal.reached_by(self) if self.goal else None

    def as_json(self) -> dict[str, Any]:
        goal = self.goal.text(self.unit) if self.goal else None
        return {**asdict(self), "goal": goal, "ratio": self.ratio, "reached": self.reached}


def show(value: float, unit: str) -> str:
    """A figure with three digits that count, and its unit."""
    text = f"{value:.0f}" if value == 0 or abs(value) >= 100 else f"{value:#.3g}".rstrip(".")
    return f"{text} {unit}"


def median(values: Iterable[float]) -> float:
    return statistics.median(values)


def percentile(values: Sequence[float], share: float) -> float:
    """The value that *share* of *values* do not exceed: always one that was measured, none between two."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def spread(values: Sequence[float], unit: str) -> str:
    return f"{len(values)} measured, {show(min(values), unit)} to {show(max(values), unit)}"

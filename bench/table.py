"""Measures the rows one after another and prints them as one table.

Every figure stands beside its comparison, measured in the same run and in turns with it, because the speed of
a machine moves more between two minutes than most of the differences that matter.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sys
import time
import traceback
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from bench.figures import Effort, Figure, show

#: The rows: each is a module of this package whose `measure(effort)` returns its figures.
ROWS = (
    "plan_wall",
    "run_start",
    "write_to_reader",
    "throughput",
    "get_run",
    "run_list",
    "claims",
    "fairness",
    "big_state",
    "second_start",
    "github_deliveries",
    "github_plans",
    "github_imports",
)

COLUMNS = ("what", "ours", "comparison", "ratio", "goal", "reached")


@dataclass(frozen=True)
class Outcome:
    """What became of one row: its figures, or why there are none."""

    row: str
    seconds: float
    figures: Sequence[Figure] = ()
    failure: str = ""


def measure(row: str, effort: Effort) -> Outcome:
    """Run one row.  Whatever goes wrong in it is told at its place in the table, and the others still run."""
    started = time.monotonic()
    try:
        figures = importlib.import_module(f"bench.{row}").measure(effort)
    except Exception as error:
        traceback.print_exc()
        return Outcome(row, time.monotonic() - started, failure=f"{type(error).__name__}: {error}")
    return Outcome(row, time.monotonic() - started, figures)


def cells(figure: Figure) -> tuple[str, ...]:
    comparison = ""
    if figure.comparison is not None:
        comparison = f"{show(figure.comparison, figure.unit)} ({figure.compared_with})"
    ratio = f"{figure.ratio:.2f}" if figure.ratio is not None else ""
    goal = figure.goal.text(figure.unit) if figure.goal else ""
    reached = {True: "yes", False: "NO", None: ""}[figure.reached]
    return (figure.what, show(figure.ours, figure.unit), comparison, ratio, goal, reached)


def lines(outcomes: Sequence[Outcome]) -> list[tuple[str, ...]]:
    """The table's body: the figures of every row, or that it failed."""
    body: list[tuple[str, ...]] = []
    for outcome in outcomes:
        if outcome.failure:
            body.append((outcome.row, "failed", "", "", "", ""))
        body.extend(cells(figure) for figure in outcome.figures)
    return [tuple(cell or "–" for cell in line) for line in body]


def render(outcomes: Sequence[Outcome]) -> str:
    """The table with its columns aligned, and below it what the rows had to add."""
    table = [COLUMNS, *lines(outcomes)]
    widths = [max(map(_width, column)) for column in zip(*table, strict=True)]
    rows = ["  ".join(map(_pad, line, widths)).rstrip() for line in table]
    rows.insert(1, "  ".join("─" * width for width in widths))
    notes = [f"  {o.row} failed: {o.failure}" for o in outcomes if o.failure]
    notes += [f"  {figure.what}: {figure.note}" for o in outcomes for figure in o.figures if figure.note]
    return "\n".join([*rows, *(["", *notes] if notes else [])])


def machine() -> str:
    load = os.getloadavg()[0]
    return (
        f"{len(os.sched_getaffinity(0))} cores, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}, load {load:.1f} at the start"
    )


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def _pad(text: str, width: int) -> str:
    return text + " " * (width - _width(text))


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0 unless a row failed to run; a goal that is missed is a figure, not a failure."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure Stateroom beside its comparisons.")
    parser.add_argument("--row", action="append", choices=ROWS, help="only this row; may be repeated")
    parser.add_argument("--quick", action="store_true", help="fewer rounds: whether it runs, rather than how fast")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of the table")
    options = parser.parse_args(arguments)
    about = machine()
    outcomes = []
    for row in options.row or ROWS:
        print(f"{row} …", end=" ", file=sys.stderr, flush=True)
        outcomes.append(measure(row, Effort(options.quick)))
        print(f"{outcomes[-1].seconds:.0f} s", file=sys.stderr, flush=True)
    if options.json:
        rows = [
            {
                "row": o.row,
                "seconds": o.seconds,
                "failure": o.failure,
                "figures": [f.as_json() for f in o.figures],
            }
            for o in outcomes
        ]
        print(json.dumps({"machine": about, "quick": options.quick, "rows": rows}, indent=2, ensure_ascii=False))
    else:
        print(f"{about}\n\n{render(outcomes)}")
    return 1 if any(outcome.failure for outcome in outcomes) else 0

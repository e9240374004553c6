"""Row: `stateroom up` until it is ready, on a directory where it has run before.

From starting the console script to its `ready` line, with everything in between: Python, settings, migrations
that find nothing to do, Valkey, web and worker. The first start, which makes keys, a CA, the database and the
administrator, is printed beside it but is no goal.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench import servers
from bench.figures import Effort, Figure, Goal, median, spread

GOAL = Goal(3)


def measure(effort: Effort) -> Sequence[Figure]:
    with servers.scratch() as place:
        first = _start(place / "data")
        later = [_start(place / "data") for _ in range(effort.of(5, 2))]
    return [
        Figure("`stateroom up` until ready, second start", median(later), "s", GOAL, note=spread(later, "s")),
        Figure("`stateroom up` until ready, first start", first, "s"),
    ]


def _start(data: Path) -> float:
    with servers.stateroom(data) as server:
        return server.seconds_to_ready

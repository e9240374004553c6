"""Row: how long a run waits of an organization that comes after 1,000 queued runs of another, beside one job's time.

A real server with two slots. One organization queues its runs as fast as one client can; then another queues one, and
again one when that has ended. A run's wait is from its creation until its plan begins, by the run's own timestamps. One
job's time is how long a slot has a job of the crowd on average: the time between its starts, times the slots.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from bench import servers
from bench.api import Api
from bench.figures import Effort, Figure, Goal, median, show
from bench.terraform import SMALL

GOAL = Goal(1.0, on="ratio")
SLOTS = 2
WORKSPACES = 10


def measure(effort: Effort) -> Sequence[Figure]:
    crowd, guests = effort.of(1000, 100), effort.of(20, 5)
    settings = {"STATEROOM_WORKER_SLOTS": str(SLOTS)}
    with (
        servers.scratch() as place,
        servers.stateroom(place / "ours", settings=settings) as server,
        Api(server) as api,
        Api(server, "guest") as other,
    ):
        api.post("organizations", "organizations", {"name": "guest", "email": "guest@example.com"})
        targets = [_prepare(api, number) for number in range(WORKSPACES)]
        guest = _prepare(other, 0)
        other.warm_up(*guest)
        queued = [api.run(*targets[number % WORKSPACES])["id"] for number in range(crowd)]
        waits = [_waited(other, guest) for _ in range(guests)]
        last = api.get(f"runs/{queued[-1]}")["attributes"]["status"]
        assert last == "plan_queued", f"the crowd was gone before the guests were: its last is {last}"
        starts = sorted(filter(None, (_begun(api.get(f"runs/{run}")) for run in queued)))
    job = SLOTS * (starts[-1] - starts[0]).total_seconds() / (len(starts) - 1)
    return [
        Figure(
            what=f"one run behind {crowd} of another organization",
            ours=max(waits),
            unit="s",
            goal=GOAL,
            comparison=job,
            compared_with="one job's time",
            note=f"the longest of {guests} waits, median {show(median(waits), 's')};"
            f" {len(starts)} of the crowd had begun",
        )
    ]


def _prepare(api: Api, number: int) -> tuple[str, str]:
    workspace = api.workspace(f"bench-fairness-{number}")
    return workspace, api.configuration(workspace, {"main.tf": SMALL}, speculative=True)


def _waited(api: Api, target: tuple[str, str]) -> float:
    """Seconds from a run's creation until its plan began; returns when it has ended."""
    run = api.run(*target)["id"]
    api.finish(run)
    told = api.get(f"runs/{run}")
    begun = _begun(told)
    assert begun is not None
    return (begun - datetime.fromisoformat(told["attributes"]["created-at"])).total_seconds()


def _begun(run: dict[str, Any]) -> datetime | None:
    at = run["attributes"]["status-timestamps"].get("planning-at")
    return datetime.fromisoformat(at) if at else None

"""Row: from creating a run to the start of its terraform process, on a worker that has nothing else to do.

Both ends are seen from outside. The clock starts before the client sends `POST /runs`, so the API's own work
is in it, and stops when the kernel reports that the worker's terraform binary was started (`executions.py`):
the server's timestamps and the first line of the log, which precedes terraform, play no part. The pauses
between runs differ, so that a worker which only looks at its queue from time to time cannot hide it. The time
to the first line of the log at a reader is printed beside it.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from bench import servers
from bench.api import Api
from bench.executions import Executions, own_copy, path_with, watching
from bench.figures import Effort, Figure, Goal, median, percentile, show
from bench.terraform import SMALL, binary

GOAL = Goal(300)


def measure(effort: Effort) -> Sequence[Figure]:
    with servers.scratch() as place:
        terraform = own_copy(binary(), place / "bin")
        settings = {"PATH": path_with([terraform.parent])}
        with (
            servers.stateroom(place / "ours", settings=settings) as server,
            Api(server) as api,
            watching(terraform) as executions,
        ):
            workspace = api.workspace("bench-run-start")
            configuration = api.configuration(workspace, {"main.tf": SMALL}, speculative=True)
            api.warm_up(workspace, configuration)
            pauses = random.Random(11)
            measured = []
            for _ in range(effort.of(40, 12)):
                time.sleep(pauses.uniform(0.3, 2.3))
                measured.append(_one_run(api, executions, workspace, configuration))
    started, first_line = zip(*measured, strict=True)
    return [
        _figure("terraform process started", started, GOAL),
        _figure("first line of the log at a reader", first_line),
    ]


def _figure(until: str, values: Sequence[float], goal: Goal | None = None) -> Figure:
    note = f"median {show(median(values), 'ms')}, longest {show(max(values), 'ms')} of {len(values)}"
    return Figure(f"run created → {until}, p95", percentile(values, 0.95), "ms", goal, note=note)


def _one_run(api: Api, executions: Executions, workspace: str, configuration: str) -> tuple[float, float]:
    """Milliseconds from before the request to terraform's start, and to the first line a reader had."""
    created = time.monotonic()
    run = api.run(workspace, configuration)
    with ThreadPoolExecutor(1) as reader:
        first_line = reader.submit(lambda: _first_line(api, api.log_url(run, "plan")))
        started = executions.first_since(created)
    api.finish(run["id"])
    return (started - created) * 1000, (first_line.result() - created) * 1000


def _first_line(api: Api, url: str, limit: float = 60) -> float:
    """When a reader had the first line.  The server holds the request; an empty answer is asked again."""
    until = time.monotonic() + limit
    while time.monotonic() < until:
        if b"\n" in api.signed.get(url, params={"limit": 65536, "offset": 0}).content:
            return time.monotonic()
        time.sleep(0.02)
    raise TimeoutError(f"the log had no line within {limit:.0f} s")

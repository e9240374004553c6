"""Row: from a line written inside a sandbox to the reader of that run's log, with fifty runs being watched.

Fifty workspaces apply at the same time. Each runs a shell that prints the wall clock twice a second, and each
has a reader of its own that reads as go-tfe does: offset and limit, asked again at once after bytes, half a
second later after an empty answer. The age of a line is the reader's clock, when it has the whole of it, less
the clock in the line: the same clock, as all of it is one machine. Terraform's own handling of the line is
therefore in the figure, and so is reading one's answers on the same cores. Counted are the lines written
while all fifty were printing.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench import servers
from bench.api import Api
from bench.connections import connect, target
from bench.figures import Effort, Figure, Goal, median, percentile, show
from bench.terraform import SMALL

GOAL = Goal(100)
RUNS = 50
START_LIMIT = 150
LINE = re.compile(rb"clock (\d+\.\d+)")

#: A clock made of the shell's own parts: a new process for each line would keep the cores busy by itself.
CLOCK = """
resource "terraform_data" "clock" {
  provisioner "local-exec" {
    interpreter = ["/bin/bash", "-c"]
    command     = <<-EOT
      coproc PAUSE { exec sleep 300; }
      while kill -0 $PAUSE_PID; do echo "clock $EPOCHREALTIME"; read -r -t 0.5 -u $${PAUSE[0]}; done
    EOT
  }
}
"""


@dataclass
class Reader:
    """One reader, and the lines it had: when each was written, and how old it was then."""

    lines: list[tuple[float, float]] = field(default_factory=list)
    begun: asyncio.Event = field(default_factory=asyncio.Event)

    async def follow(self, url: str, ca: str) -> None:
        """Read until cancelled."""
        offset, rest = 0, b""
        async with await connect(url, {}, ca) as connection:
            while True:
                response = await connection.get(f"{target(url)}?limit=65536&offset={offset}")
                now = time.time()
                if response.status != 200:
                    raise RuntimeError(f"a log was answered {response.status}: {response.body[:200]!r}")
                offset += len(response.body)
                whole, _, rest = (rest + response.body).rpartition(b"\n")
                self._take(whole, now)
                if not response.body:
                    await asyncio.sleep(0.5)

    def _take(self, text: bytes, now: float) -> None:
        for found in LINE.finditer(text):
            written = float(found[1])
            self.lines.append((written, now - written))
            self.begun.set()


def measure(effort: Effort) -> Sequence[Figure]:
    settings = {"STATEROOM_WORKER_SLOTS": str(RUNS)}
    with (
        servers.scratch() as place,
        servers.stateroom(place / "ours", settings=settings) as server,
        Api(server) as api,
    ):
        workspace = api.workspace("bench-warm-up")
        api.warm_up(workspace, api.configuration(workspace, {"main.tf": SMALL}, speculative=True))
        with _clocks(api) as runs:
            urls = [api.log_url(run, "apply") for run in runs]
            ages = asyncio.run(_watch(urls, str(server.ca_bundle), effort.of(30, 10)))
    milliseconds = [age * 1000 for age in ages]
    note = f"median {show(median(milliseconds), 'ms')}, longest {show(max(milliseconds), 'ms')}"
    what = f"line written → at its reader, p99, {RUNS} runs watched"
    return [Figure(what, percentile(milliseconds, 0.99), "ms", GOAL, note=f"{note}, {len(ages)} lines")]


@contextlib.contextmanager
def _clocks(api: Api) -> Iterator[list[dict[str, Any]]]:
    """All the runs, started; cancelled at the end, however it comes."""
    runs: list[dict[str, Any]] = []
    try:
        for number in range(RUNS):
            runs.append(_start(api, number))
        yield runs
    finally:
        for run in runs:
            if api.get(f"runs/{run['id']}")["attributes"]["actions"]["is-cancelable"]:
                api.act(f"runs/{run['id']}/actions/cancel")
        for run in runs:
            api.end(run["id"])


def _start(api: Api, number: int) -> dict[str, Any]:
    workspace = api.workspace(f"bench-clock-{number}")
    configuration = api.configuration(workspace, {"main.tf": CLOCK}, speculative=False)
    return api.run(workspace, configuration, auto_apply=True)


async def _watch(urls: Sequence[str], ca: str, seconds: float) -> list[float]:
    """The ages of the lines that were written in *seconds* during which every run was printing."""
    readers = [Reader() for _ in urls]
    reading = [asyncio.create_task(reader.follow(url, ca)) for reader, url in zip(readers, urls, strict=True)]
    await _or_failure(_all_begun(readers), reading)
    since = time.time()
    await _or_failure(asyncio.sleep(seconds), reading)
    until = time.time()
    await asyncio.sleep(2)  # so that late lines are counted, which are the ones that matter
    for task in reading:
        task.cancel()
    return [age for reader in readers for written, age in reader.lines if since <= written < until]


async def _all_begun(readers: Sequence[Reader]) -> None:
    for reader in readers:
        await reader.begun.wait()


async def _or_failure(until: Coroutine[Any, Any, object], reading: Sequence[asyncio.Task[None]]) -> None:
    """Wait *until* that, unless a reader fails first, which is then raised, or the time is up."""
    waiting = asyncio.ensure_future(until)
    done, _ = await asyncio.wait({waiting, *reading}, timeout=START_LIMIT, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()
    if waiting not in done:
        waiting.cancel()
        raise TimeoutError(f"not every reader had a line within {START_LIMIT} s")

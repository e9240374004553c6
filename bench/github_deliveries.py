"""Row: how long GitHub waits for the answer to a delivery, at 50 a second.

A real server, spoken to over TLS as GitHub does. Deliveries leave at fixed times, whether or not the ones before were
answered, and each is timed from the moment it was due: a server that stalls makes all wait that come meanwhile, and the
figure shows it. Each is GitHub's own example of a push, signed, with an id of its own, and is checked, stored and
answered; the worker processes them beside that and finds that nobody follows the repository.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Sequence

import httpx2

from bench import servers
from bench.api import Api
from bench.figures import Effort, Figure, Goal, median, percentile, show
from bench.github import GitHub, delivering_to
from bench.terraform import SMALL
from tests.github import examples

GOAL = Goal(50)
A_SECOND = 50
#: Before it counts: web and worker have met their first ones, which load what a start leaves out.
WARM_UP = 50
#: Seconds until those are processed.
SETTLE = 5


def measure(effort: Effort) -> Sequence[Figure]:
    with (
        servers.scratch() as place,
        servers.stateroom(place / "data") as server,
        Api(server) as api,
        delivering_to(server) as github,
    ):
        workspace = api.workspace("bench-warm-up")
        api.warm_up(workspace, api.configuration(workspace, {"main.tf": SMALL}, speculative=True))
        asyncio.run(_deliver(github, WARM_UP))
        time.sleep(SETTLE)
        times = asyncio.run(_deliver(github, effort.of(1500, 150)))
    note = f"median {show(median(times), 'ms')}, longest {show(max(times), 'ms')} of {len(times)}"
    return [
        Figure(f"delivery received → 202 at {A_SECOND} a second, p99", percentile(times, 0.99), "ms", GOAL, note=note)
    ]


async def _deliver(github: GitHub, count: int) -> list[float]:
    """Milliseconds from when each delivery was due until its answer."""
    payload = examples.all_of_them()["push"][0]
    messages = [github.message("push", payload) for _ in range(count)]
    tls = ssl.create_default_context(cafile=str(github.server.ca_bundle))
    async with httpx2.AsyncClient(verify=tls, timeout=60) as client:
        begin = time.perf_counter() + 1 / A_SECOND

        async def one(number: int) -> float:
            due = begin + number / A_SECOND
            await asyncio.sleep(due - time.perf_counter())
            body, headers = messages[number]
            answer = await client.post(github.webhook_url, content=body, headers=headers)
            assert answer.status_code == 202, (answer.status_code, answer.text)
            return (time.perf_counter() - due) * 1000

        return await asyncio.gather(*map(one, range(count)))

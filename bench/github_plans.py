"""Row: from a delivery to the start of its terraform process, where one workspace follows the repository and where a
hundred do.

A real server on the tests' fake GitHub, which answers at once. Each round opens a pull request; the clock starts before
its delivery is sent and stops when the kernel reports that a terraform binary was started, the first of the commit's
(`executions.py`). So the webhook, the worker's questions to GitHub, the fetch of the archive, runs and checks are all
in it. Then the pull request is closed, which cancels what it began, and the next round waits until all have ended.
"""

from __future__ import annotations

import itertools
import ssl
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx2

from bench import servers
from bench.api import Api
from bench.executions import Executions, own_copy, path_with, watching
from bench.figures import Effort, Figure, median, percentile, show
from bench.github import GitHub, delivering_to
from bench.terraform import SMALL, binary
from tests.github import messages
from tests.github.fake import world

FEW, MANY = 1, 100


def measure(effort: Effort) -> Sequence[Figure]:
    rounds, many = effort.of(12, 3), effort.of(MANY, 10)
    with _place() as place:
        small, large = place.followed_by(FEW), place.followed_by(many)
        pairs = [(place.round(small), place.round(large)) for _ in range(rounds + 1)][1:]  # the first connects
    alone, together = [one for one, _ in pairs], [one for _, one in pairs]
    return [
        Figure("delivery → plan started, 1 workspace", median(alone), "ms", note=_spread(alone)),
        Figure(
            f"delivery → first plan started, {many} workspaces",
            median(together),
            "ms",
            comparison=median(alone),
            compared_with="1 workspace",
            note=_spread(together),
        ),
    ]


def _spread(times: Sequence[float]) -> str:
    return f"p95 {show(percentile(times, 0.95), 'ms')}, longest {show(max(times), 'ms')} of {len(times)}"


@dataclass
class _Place:
    api: Api
    github: GitHub
    executions: Executions
    client: httpx2.Client
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def followed_by(self, count: int) -> world.Repository:
        names = [self.api.workspace(f"bench-{count}-{number}") for number in range(count)]
        return self.github.repository(f"followed-by-{count}", {"main.tf": SMALL}, names)

    def round(self, there: world.Repository) -> float:
        """Milliseconds from the delivery of a new pull request to the first terraform."""
        branch = f"feature-{next(self.numbers)}"
        there.commit(branch, {"change.txt": branch}, "Change it")
        pull = there.open_pull(branch)
        begin = time.monotonic()
        self._send(there, pull, "opened")
        started = self.executions.first_since(begin)
        pull.state = "closed"
        self._send(there, pull, "closed")
        self._wait_until_idle()
        return (started - begin) * 1000

    def _send(self, there: world.Repository, pull: world.Pull, action: str) -> None:
        body, headers = self.github.message("pull_request", messages.pull_request(there, pull, action))
        answer = self.client.post(self.github.webhook_url, content=body, headers=headers)
        assert answer.status_code == 202, (answer.status_code, answer.text)

    def _wait_until_idle(self, limit: float = 120) -> None:
        """Until nothing is queued or planned, and that has been so for a second: the closing was processed then."""
        until, idle_since = time.monotonic() + limit, time.monotonic()
        while time.monotonic() - idle_since < 1:
            if self.api.get(f"organizations/{self.api.organization}/runs/queue"):
                idle_since = time.monotonic()
            if time.monotonic() > until:
                raise TimeoutError(f"the plans of a closed pull request did not end within {limit:.0f} s")
            time.sleep(0.1)


@contextmanager
def _place() -> Iterator[_Place]:
    with servers.scratch() as place:
        terraform = own_copy(binary(), place / "bin")
        settings = {"PATH": path_with([terraform.parent])}
        with (
            servers.stateroom(place / "ours", settings=settings) as server,
            Api(server) as api,
            watching(terraform) as executions,
            delivering_to(server) as github,
            httpx2.Client(verify=_trusted(server.ca_bundle), timeout=60) as client,
        ):
            workspace = api.workspace("bench-warm-up")
            api.warm_up(workspace, api.configuration(workspace, {"main.tf": SMALL}, speculative=True))
            yield _Place(api, github, executions, client)


def _trusted(bundle: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(bundle))

"""Row: how often one web process answers `GET` of one run, beside a bare Starlette route with one indexed
SELECT.

Ours is the product's whole application, every route mounted and more of them added until there are 150
(`filled_app.py`), asked with a user's token. The comparison (`bare_route.py`) reads the same row of the same
database through the same driver. uvicorn serves both with the same options and without TLS, one process each,
and both are loaded in turns by the same generator (`load.py`).
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from bench import servers
from bench.api import Api
from bench.figures import Effort, Figure, Goal, median, spread
from bench.load import generator, requests_per_second
from bench.terraform import SMALL

GOAL = Goal(0.60, on="ratio", at_least=True)
SECONDS = 3
START_LIMIT = 30


def measure(effort: Effort) -> Sequence[Figure]:
    with servers.scratch() as place:
        data = place / "ours"
        run, token = _one_run(data)
        with serving("bench.filled_app", data) as ours, serving("bench.bare_route", data) as bare:
            rounds = [_one_round(ours, bare, run, token) for _ in range(effort.of(5, 2) + 1)][1:]
    return [
        Figure(
            what="`GET` one run, authenticated",
            ours=median(mine for mine, _ in rounds),
            unit="/s",
            goal=GOAL,
            comparison=median(theirs for _, theirs in rounds),
            compared_with="bare route, one SELECT",
            note=f"{spread([mine for mine, _ in rounds], '/s')}; load by {generator()}",
        )
    ]


def _one_run(data: Path) -> tuple[str, str]:
    """Make a data directory with a finished run in it; the run's id, and a token that may read it."""
    with servers.stateroom(data, "--no-tls") as server, Api(server) as api:
        workspace = api.workspace("bench-get-run")
        configuration = api.configuration(workspace, {"main.tf": SMALL}, speculative=True)
        api.warm_up(workspace, configuration)
        run = str(api.run(workspace, configuration)["id"])
        api.finish(run)
        return run, server.token


def _one_round(ours: str, bare: str, run: str, token: str) -> tuple[float, float]:
    path = f"/api/v2/runs/{run}"
    return requests_per_second(ours + path, SECONDS, token), requests_per_second(bare + path, SECONDS)


@contextlib.contextmanager
def serving(module: str, data: Path) -> Iterator[str]:
    """The application of *module* on a port of its own, in one process, as its only user; its URL."""
    port = servers.free_port()
    options = ["--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"]
    command = [sys.executable, "-m", "uvicorn", f"{module}:create_app", "--factory", "--port", str(port), *options]
    environment = _environment(data, port)
    with data.with_name(module).open("wb") as said:  # a line for each request, as in production
        process = subprocess.Popen(command, env=environment, cwd=Path(__file__).parent.parent, stdout=said, stderr=said)
    try:
        _wait_for(port, process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(60)


def _environment(data: Path, port: int) -> Mapping[str, str]:
    own = {"DATA_DIR": str(data), "PORT": str(port), "TLS": "false", "API_RATE_LIMIT": "0"}
    return {**os.environ, **{f"STATEROOM_{name}": value for name, value in own.items()}}


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + START_LIMIT
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.05)
    raise servers.ServerFailed(f"uvicorn did not serve on port {port} within {START_LIMIT} s.")

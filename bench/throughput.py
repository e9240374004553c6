"""Row: small plan runs completed in a minute by two slots, beside a shell loop of bare terraform, two in
parallel.

Ours is the whole way of a run: created through the API (as fast as one client can), queued, claimed,
sandboxed, `init` and `plan`, results and log stored, finished. The configuration versions were uploaded
before; the clock runs from the first `POST /runs` to the end of the last run. The loop runs `terraform init
&& terraform plan` of the same configuration in a fresh directory each time and keeps nothing. Both use all of
the machine, in turns.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from bench import servers
from bench.api import Api
from bench.figures import Effort, Figure, Goal, median, spread
from bench.terraform import SMALL, Cli, binary

GOAL = Goal(0.40, on="ratio", at_least=True)
PARALLEL = 2
WORKSPACES = 10

LOOP = """
for number in $(seq "$1"); do
  rm -rf .terraform .terraform.lock.hcl
  "$2" init -input=false >/dev/null && "$2" plan -input=false >/dev/null || exit 1
done
"""


class LoopFailed(Exception):
    """The bare terraform that we are compared with failed."""


def measure(effort: Effort) -> Sequence[Figure]:
    runs, rounds = effort.of(60, 20), effort.of(3, 2)
    settings = {"STATEROOM_WORKER_SLOTS": str(PARALLEL)}
    with (
        servers.scratch() as place,
        servers.stateroom(place / "ours", settings=settings) as server,
        Api(server) as api,
    ):
        targets = [_prepare(api, number) for number in range(WORKSPACES)]
        api.warm_up(*targets[0])
        _through_us(api, targets, WORKSPACES)
        ours, bare = [], []
        for number in range(rounds):
            ours.append(_through_us(api, targets, runs))
            bare.append(_by_shell_loop(place / f"bare-{number}", 2 * runs))
    return [
        Figure(
            what=f"small plan runs completed, {PARALLEL} slots",
            ours=median(ours),
            unit="/min",
            goal=GOAL,
            comparison=median(bare),
            compared_with=f"bare init && plan, {PARALLEL} loops",
            note=spread(ours, "/min"),
        )
    ]


def _prepare(api: Api, number: int) -> tuple[str, str]:
    workspace = api.workspace(f"bench-throughput-{number}")
    return workspace, api.configuration(workspace, {"main.tf": SMALL}, speculative=True)


def _through_us(api: Api, targets: Sequence[tuple[str, str]], count: int) -> float:
    """Runs a minute.  Only the eldest unfinished run is looked at, so watching costs next to nothing."""
    started = time.monotonic()
    runs = [api.run(*targets[number % len(targets)])["id"] for number in range(count)]
    for run in runs:
        api.finish(run)
    return count * 60 / (time.monotonic() - started)


def _by_shell_loop(place: Path, count: int) -> float:
    """Plans a minute, by shells that do nothing else."""
    terraform = Cli(place)
    directories = [place / str(number) for number in range(PARALLEL)]
    for directory in directories:
        directory.mkdir(parents=True)
        (directory / "main.tf").write_text(SMALL)
    command = ["/bin/sh", "-c", LOOP, "sh", str(count // PARALLEL), binary()]
    started = time.monotonic()
    loops = [
        subprocess.Popen(command, cwd=directory, env=terraform.environment(), stderr=subprocess.PIPE, text=True)
        for directory in directories
    ]
    for loop in loops:
        _, said = loop.communicate(timeout=600)
        if loop.returncode:
            raise LoopFailed(f"bare terraform in a shell loop failed: {said[-500:]}")
    return count * 60 / (time.monotonic() - started)

"""Row: how long a user's `terraform plan` takes, through us and against the ideal server.

The same CLI, the same configuration, the same TLS; the ideal server has the finished run at once, so its time
is what the client itself waits (it polls an upload and a run before it looks for the log). What lies above it
is ours: the archive, the queue, the sandbox, the plan and its log. Every plan is a speculative run of its
own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from bench import servers
from bench.figures import Effort, Figure, Goal, median, spread
from bench.servers import Server
from bench.terraform import BACKENDS, SMALL, Cli, write_configuration

GOAL = Goal(1.25, on="ratio")


def measure(effort: Effort) -> Sequence[Figure]:
    with (
        servers.scratch() as place,
        servers.stateroom(place / "ours") as ours,
        servers.ideal(place / "ideal") as ideal,
    ):
        return [_measure_backend(backend, ours, ideal, place, effort) for backend in BACKENDS]


def _measure_backend(backend: str, ours: Server, ideal: Server, place: Path, effort: Effort) -> Figure:
    """Plans of both servers in turns, after an `init` and one plan of each that do not count."""
    projects = {
        server: _initialized(backend, server, place / f"{backend}-{server.data.name}") for server in (ours, ideal)
    }
    _one_round(projects)
    rounds = [_one_round(projects) for _ in range(effort.of(9, 3))]
    return Figure(
        what=f"`terraform plan`, wall time ({backend})",
        ours=median(round[ours] for round in rounds),
        unit="s",
        goal=GOAL,
        comparison=median(round[ideal] for round in rounds),
        compared_with="ideal server",
        note=spread([round[ours] for round in rounds], "s"),
    )


def _initialized(backend: str, server: Server, directory: Path) -> tuple[Cli, Path]:
    project = write_configuration(directory, [BACKENDS[backend](server, f"bench-{backend}"), SMALL])
    terraform = Cli(directory.parent, server)
    terraform.run(project, "init", "-input=false")
    return terraform, project


def _one_round(projects: Mapping[Server, tuple[Cli, Path]]) -> dict[Server, float]:
    return {
        server: terraform.seconds(project, "plan", "-input=false") for server, (terraform, project) in projects.items()
    }

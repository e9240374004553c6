"""A stock terraform is served by the ideal server, with both of its backends."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import servers
from bench.servers import Server
from bench.terraform import BACKENDS, SMALL, Cli, write_configuration

pytestmark = pytest.mark.parametrize("backend", BACKENDS)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with servers.ideal(tmp_path_factory.mktemp("server") / "data") as running:
        yield running


@pytest.fixture
def project(server: Server, backend: str, tmp_path: Path) -> Path:
    return write_configuration(tmp_path / "project", [BACKENDS[backend](server, "ideal"), SMALL])


def test_a_plan_runs_to_its_end(server: Server, project: Path, tmp_path: Path) -> None:
    terraform = Cli(tmp_path, server)
    terraform.run(project, "init", "-input=false", "-no-color")
    said = terraform.run(project, "plan", "-input=false", "-no-color").stdout
    assert f"https://{server.host}/app/main/ideal/runs/run-ideal" in said
    assert said.count("No changes. Your infrastructure matches the configuration.") == 1


def test_an_apply_finds_nothing_to_do(server: Server, project: Path, tmp_path: Path) -> None:
    terraform = Cli(tmp_path, server)
    terraform.run(project, "init", "-input=false", "-no-color")
    said = terraform.run(project, "apply", "-auto-approve", "-input=false", "-no-color").stdout
    assert "No changes." in said


def test_it_is_found_by_discovery(server: Server, project: Path, tmp_path: Path) -> None:
    config = server.cli_config.read_text()
    without_host = tmp_path / "terraformrc-by-discovery"
    without_host.write_text(config[: config.index("host ")])
    terraform = Cli(tmp_path, server, cli_config=without_host)
    terraform.run(project, "init", "-input=false", "-no-color")
    assert "No changes." in terraform.run(project, "plan", "-input=false", "-no-color").stdout


def test_a_state_command_locks_and_unlocks(server: Server, project: Path, tmp_path: Path) -> None:
    terraform = Cli(tmp_path, server)
    terraform.run(project, "init", "-input=false", "-no-color")
    state = tmp_path / "new.tfstate"
    state.write_text(
        '{"version": 4, "terraform_version": "1.11.4", "serial": 1, "resources": [], "outputs": {},'
        ' "lineage": "3b5f1d6e-7f0e-4f62-9f0b-0f4c0f5f8f11"}'
    )
    terraform.run(project, "state", "push", str(state))

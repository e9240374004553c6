"""`terraform_remote_state`: one workspace reads another's outputs, in a run and on a person's own machine."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.configuration import Configuration
from tests.e2e.up import Up

READER = """
data "terraform_remote_state" "network" {
  backend = "remote"
  config = {
    hostname     = "%(host)s"
    organization = "%(organization)s"
    workspaces   = { name = "%(name)s" }
  }
}
output "heard" { value = data.terraform_remote_state.network.outputs.said }
"""


def reads(other: Configuration, organization: str = "main") -> str:
    return READER % {"host": other.server.host, "organization": organization, "name": other.name}


@pytest.fixture
def network(server: Up, tmp_path: Path) -> Configuration:
    """A workspace whose state says something."""
    network = Configuration(server, tmp_path / "network").cloud().init()
    network.apply()
    return network


def consumers(network: Configuration, *others: Configuration) -> None:
    named: list[Any] = [{"type": "workspaces", "id": one.workspace()["id"]} for one in others]
    path = f"/api/v2/workspaces/{network.workspace()['id']}/relationships/remote-state-consumers"
    network.call("PATCH", path, {"data": named})


NOT_SHARED = "There is no such workspace, or it does not share its state with the workspace of this run."


def test_a_run_reads_what_is_shared_with_its_workspace_and_is_told_when_it_is_not(
    network: Configuration, configuration: Configuration
) -> None:
    configuration.cloud(resources=reads(network)).init()
    assert 'heard = "one"' in configuration.apply()
    network.change(global_remote_state=False)
    assert NOT_SHARED in configuration.refused("plan")
    consumers(network, configuration)
    assert "No changes." in configuration.must("plan")
    consumers(network)
    assert NOT_SHARED in configuration.refused("plan")


def test_a_run_reads_nothing_of_another_organization_and_its_owner_at_home_does(
    server: Up, configuration: Configuration, tmp_path: Path
) -> None:
    other, organization = Configuration(server, tmp_path / "other").cloud(), f"o-{uuid.uuid4().hex[:8]}"
    sent = {"type": "organizations", "attributes": {"name": organization, "email": "ines@example.com"}}
    other.call("POST", "/api/v2/organizations", {"data": sent})
    backend = other.directory / "backend.tf"
    backend.write_text(backend.read_text().replace('"main"', f'"{organization}"'))
    other.init().apply()
    at_home = Configuration(server, tmp_path / "home").resources(reads(other, organization)).init()
    assert 'heard = "one"' in at_home.apply()
    configuration.cloud(resources=reads(other, organization)).init()
    said = configuration.refused("plan")
    assert f'organization "{organization}" at host {server.host} not found' in said
    assert "Planning failed" in said

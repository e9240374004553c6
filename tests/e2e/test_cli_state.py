"""State commands of the stock CLI, which read and write the state from the machine they are typed on."""

from __future__ import annotations

import json

import pytest

from tests.e2e.configuration import Configuration

BOTH = pytest.mark.parametrize("kind", ["cloud", "remote"])

TWO = """
resource "terraform_data" "one" { input = "one" }
resource "terraform_data" "two" { input = "two" }
"""
IMPORTED = TWO + 'resource "terraform_data" "three" {}\n'


@BOTH
def test_a_state_is_listed_moved_removed_and_imported(configuration: Configuration, kind: str) -> None:
    configuration.backend(kind, resources=TWO).init()
    configuration.apply()
    assert configuration.addresses() == ["terraform_data.one", "terraform_data.two"]
    configuration.must("state", "mv", "terraform_data.one", "terraform_data.first")
    assert configuration.addresses() == ["terraform_data.first", "terraform_data.two"]
    configuration.must("state", "rm", "terraform_data.first")
    configuration.resources(IMPORTED)
    configuration.must("import", "-input=false", "terraform_data.three", "an-id")
    assert configuration.addresses() == ["terraform_data.three", "terraform_data.two"]
    assert configuration.must("console", stdin="terraform_data.three.id\n").strip() == '"an-id"'
    assert configuration.workspace()["attributes"]["locked"] is False


@BOTH
def test_a_pulled_state_is_pushed_and_an_older_one_is_not(configuration: Configuration, kind: str) -> None:
    configuration.backend(kind, resources=TWO).init()
    configuration.apply()
    older = configuration.must("state", "pull")
    configuration.must("state", "rm", "terraform_data.two")
    current = configuration.state()
    assert current["serial"] > json.loads(older)["serial"]
    assert "cannot import state with serial" in configuration.refused("state", "push", "-", stdin=older)
    assert configuration.state() == current
    current["serial"] += 5
    configuration.must("state", "push", "-", stdin=json.dumps(current))
    assert configuration.state()["serial"] == current["serial"] + 1


@BOTH
def test_t33_a_forced_push_goes_back_and_changes_the_lineage(configuration: Configuration, kind: str) -> None:
    configuration.backend(kind, resources=TWO).init()
    configuration.apply()
    older = configuration.must("state", "pull")
    configuration.must("state", "rm", "terraform_data.two")
    other = {**json.loads(older), "serial": 1, "lineage": "11111111-2222-3333-4444-555555555555"}
    assert "cannot import state with lineage" in configuration.refused("state", "push", "-", stdin=json.dumps(other))
    configuration.must("state", "push", "-force", "-", stdin=json.dumps(other))
    assert configuration.state()["lineage"] == other["lineage"]
    assert configuration.addresses() == ["terraform_data.one", "terraform_data.two"]


@BOTH
def test_a_lock_keeps_writers_out_until_it_is_forced_open(configuration: Configuration, kind: str) -> None:
    configuration.backend(kind, resources=TWO).init()
    configuration.must("state", "push", "-", stdin=json.dumps(EMPTY))
    configuration.lock()
    lock = f"main/{configuration.name}"
    said = configuration.refused("state", "push", "-force", "-", stdin=json.dumps(EMPTY))
    assert "workspace already locked" in said
    assert lock in said
    configuration.must("force-unlock", "-force", lock)
    assert configuration.workspace()["attributes"]["locked"] is False
    assert "already unlocked" in configuration.refused("force-unlock", "-force", lock)


EMPTY = {
    "version": 4,
    "terraform_version": "1.11.4",
    "serial": 1,
    "lineage": "aaaaaaaa-2222-3333-4444-555555555555",
    "outputs": {},
    "resources": [],
}

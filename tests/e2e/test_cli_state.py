"""State commands of the stock CLI, which read and write the state from the machine they are typed on."""

from __future__ import annotations

import json
import urllib.error
from typing import Any

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


CHANGED = 'resource "terraform_data" "one" { input = "changed" }\n'


def roll_back(configuration: Configuration, version: str) -> Any:
    target = {"data": {"type": "state-versions", "id": version}}
    sent = {"type": "state-versions", "relationships": {"rollback-state-version": target}}
    path = f"/api/v2/workspaces/{configuration.workspace()['id']}/state-versions"
    return configuration.call("PATCH", path, {"data": sent})["data"]


def current(configuration: Configuration) -> str:
    path = f"/api/v2/workspaces/{configuration.workspace()['id']}/current-state-version"
    return str(configuration.call("GET", path)["data"]["id"])


def test_what_was_rolled_back_is_planned_again_and_a_plan_made_before_is_not_applied(
    configuration: Configuration,
) -> None:
    configuration.cloud(resources=TWO).init()
    configuration.apply()
    first = current(configuration)
    configuration.resources(CHANGED).apply()
    serial = configuration.state()["serial"]
    configuration.must("plan", "-out=saved", "-destroy")
    configuration.lock()
    made = roll_back(configuration, first)
    configuration.unlock()
    assert configuration.state()["serial"] == made["attributes"]["serial"] == serial + 1
    assert configuration.addresses() == ["terraform_data.one", "terraform_data.two"]
    assert configuration.statuses()[0] == "discarded"
    events = configuration.call("GET", f"/api/v2/runs/{configuration.runs()[0]['id']}/run-events")["data"]
    why = f"The state has moved since this plan was made, from serial {serial} to serial {serial + 1}"
    assert why in [event["attributes"]["description"] for event in events]
    assert "Saved plan is discarded" in configuration.refused("apply", "saved")
    assert "Plan: 0 to add, 1 to change, 1 to destroy." in configuration.must("plan")


def test_while_a_run_waits_for_a_person_nobody_moves_its_state(configuration: Configuration) -> None:
    """Its plan is still right when it is confirmed: neither a rollback nor a push comes in between."""
    configuration.cloud(resources=TWO).init()
    configuration.apply()
    first = current(configuration)
    configuration.resources(CHANGED).apply()
    before = configuration.must("state", "pull")
    configuration.resources(TWO)
    terminal = configuration.at_terminal("apply")
    terminal.wait_for("Enter a value:")
    holder = f"Run {configuration.runs()[0]['id']}"
    for path, how in (("lock", "POST"), ("force-unlock", "POST")):
        assert holder in refused_by_the_server(configuration, how, f"actions/{path}")
    relation = {"rollback-state-version": {"data": {"type": "state-versions", "id": first}}}
    sent = {"data": {"type": "state-versions", "relationships": relation}}
    assert "holds the workspace's lock" in refused_by_the_server(configuration, "PATCH", "state-versions", sent)
    configuration.refused("state", "push", "-force", "-", stdin=before)
    terminal.type("yes")
    assert terminal.ends() == 0
    assert configuration.addresses() == ["terraform_data.one", "terraform_data.two"]


def refused_by_the_server(configuration: Configuration, method: str, path: str, body: Any = None) -> str:
    with pytest.raises(urllib.error.HTTPError) as refusal:
        configuration.call(method, f"/api/v2/workspaces/{configuration.workspace()['id']}/{path}", body)
    with refusal.value as answer:
        assert answer.code == 409
        return answer.read().decode()


EMPTY = {
    "version": 4,
    "terraform_version": "1.11.4",
    "serial": 1,
    "lineage": "aaaaaaaa-2222-3333-4444-555555555555",
    "outputs": {},
    "resources": [],
}

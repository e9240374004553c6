"""States that go back, and plans that rested on what was there in between: by the stock CLI."""

from __future__ import annotations

from typing import Any

from tests.e2e.configuration import Configuration


def inputs(word: str) -> str:
    return f'resource "terraform_data" "one" {{ input = "{word}" }}\noutput "said" {{ value = "{word}" }}\n'


def versions(configuration: Configuration) -> list[Any]:
    """Those of the workspace, the newest first."""
    path = "/api/v2/state-versions?filter[organization][name]=main&filter[workspace][name]="
    found: list[Any] = configuration.call("GET", path + configuration.name)["data"]
    return [version for version in found if not version["attributes"]["intermediate"]]


def roll_back(configuration: Configuration, version: str) -> Any:
    relation = {"rollback-state-version": {"data": {"type": "state-versions", "id": version}}}
    path = f"/api/v2/workspaces/{configuration.workspace()['id']}/state-versions"
    configuration.lock()
    try:
        document = {"data": {"type": "state-versions", "relationships": relation}}
        return configuration.call("PATCH", path, document)["data"]
    finally:
        configuration.unlock()


def test_a_state_goes_back_and_terraform_plans_from_there(configuration: Configuration) -> None:
    configuration.cloud(resources=inputs("first")).init()
    configuration.apply()
    before = configuration.state()
    configuration.resources(inputs("second"))
    configuration.apply()
    configuration.resources(inputs("third"))
    configuration.must("plan", "-out", "saved.plan")

    [second, first] = versions(configuration)
    made = roll_back(configuration, first["id"])
    assert made["attributes"]["serial"] == second["attributes"]["serial"] + 1
    now = configuration.state()
    assert (now["lineage"], now["resources"], now["outputs"]) == (
        before["lineage"],
        before["resources"],
        before["outputs"],
    )
    said = configuration.refused("apply", "saved.plan")
    assert "discarded" in said
    [newest, *_] = configuration.runs()
    events = configuration.call("GET", f"/api/v2/runs/{newest['id']}/run-events")["data"]
    serials = [version["attributes"]["serial"] for version in (second, made)]
    why = "The state has moved since this plan was made, from serial {} to serial {}".format(*serials)
    assert why in [event["attributes"]["description"] for event in events]
    assert '"first" -> "third"' in configuration.must("plan")
    assert len(versions(configuration)) == 3

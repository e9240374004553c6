"""Saved plans of the cloud block."""

from __future__ import annotations

import json

from tests.e2e.configuration import ONE, Configuration, plan_in

SENSITIVE = """
variable "secret" {
  default   = "%s"
  sensitive = true
}
resource "terraform_data" "one" { input = { word = var.secret, open = "open" } }
resource "terraform_data" "two" { triggers_replace = [var.secret] }
output "secret" {
  value     = var.secret
  sensitive = true
}
"""


def saved(configuration: Configuration) -> str:
    """The text of a plan that is now in the file `saved`."""
    return configuration.must("plan", "-no-color", "-out=saved")


def test_t29_a_saved_plan_is_applied_once(configuration: Configuration) -> None:
    configuration.cloud().init()
    saved(configuration)
    file = json.loads((configuration.directory / "saved").read_text())
    assert file["run_id"].startswith("run-")
    assert configuration.statuses() == ["planned_and_saved"]
    assert configuration.workspace()["attributes"]["locked"] is False
    assert "# terraform_data.one will be created" in configuration.must("show", "-no-color", "saved")
    shown = json.loads(configuration.must("show", "-json", "saved"))
    assert [change["address"] for change in shown["resource_changes"]] == ["terraform_data.one"]
    assert "Resources: 1 added" in configuration.must("apply", "-no-color", "saved")
    assert "Saved plan is already applied" in configuration.refused("apply", "saved")
    assert configuration.statuses() == ["applied"]


def test_a_discarded_plan_is_not_applied(configuration: Configuration) -> None:
    configuration.cloud().init()
    saved(configuration)
    configuration.call("POST", f"/api/v2/runs/{configuration.runs()[0]['id']}/actions/discard", {})
    assert "Saved plan is discarded" in configuration.refused("apply", "saved")
    assert configuration.statuses() == ["discarded"]


def test_a_plan_is_not_applied_after_the_state_moved(configuration: Configuration) -> None:
    configuration.cloud().init()
    saved(configuration)
    configuration.resources(ONE.replace('"one" {', '"other" {').replace("one.output", "other.output"))
    configuration.apply()
    configuration.refused("apply", "saved")
    assert configuration.addresses() == ["terraform_data.other"]


def test_t38_a_shown_plan_reads_as_terraforms_own_and_holds_no_secret(configuration: Configuration) -> None:
    configuration.cloud(resources=SENSITIVE % "first-secret").init()
    configuration.apply()
    configuration.resources(SENSITIVE % "second-secret")
    planned = saved(configuration)
    shown = configuration.must("show", "-no-color", "saved")
    assert plan_in(shown) == plan_in(planned)
    assert "(sensitive value)" in shown
    run = configuration.runs()[0]
    plan = run["relationships"]["plan"]["data"]["id"]
    redacted = configuration.call("GET", f"/api/v2/plans/{plan}/json-output-redacted")
    changed = {change["address"]: change["change"] for change in redacted["resource_changes"]}
    assert changed["terraform_data.one"]["before"]["input"]["open"] == "open"
    assert changed["terraform_data.one"]["before"]["input"] != changed["terraform_data.one"]["after"]["input"]
    for change in changed.values():
        told = json.dumps([change["before"].get("input"), change["before"].get("triggers_replace"), change["after"]])
        assert "-secret" not in told
    assert "-secret" not in json.dumps(redacted["output_changes"])

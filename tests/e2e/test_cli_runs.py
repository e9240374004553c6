"""Plans and applies of the stock CLI, run remotely through both blocks."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.e2e.configuration import Configuration, plan_in

BOTH = pytest.mark.parametrize("kind", ["cloud", "remote"])

MANY = """
variable "word" { default = "none" }
resource "terraform_data" "one" { input = "one" }
resource "terraform_data" "two" { input = "two" }
output "word" { value = var.word }
output "secret" {
  value     = "hush-hush"
  sensitive = true
}
"""


@BOTH
def test_the_plan_is_shown_as_a_local_terraform_shows_it(
    configuration: Configuration, kind: str, tmp_path: Path
) -> None:
    configuration.backend(kind, resources=MANY).init()
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "main.tf").write_text(MANY)
    settings = {**os.environ, "CHECKPOINT_DISABLE": "1"}
    for arguments in (["init", "-no-color"], ["plan", "-no-color"]):
        ended = subprocess.run(
            ["terraform", *arguments], cwd=bare, env=settings, capture_output=True, text=True, timeout=60, check=True
        )
    planned = configuration.must("plan", "-no-color")
    assert plan_in(planned) == plan_in(ended.stdout)
    assert planned.count("# terraform_data.one will be created") == 1


@BOTH
def test_an_apply_asks_and_does_what_is_answered(configuration: Configuration, kind: str) -> None:
    configuration.backend(kind).init()
    refusal = configuration.at_terminal("apply")
    refusal.answer("no")
    assert refusal.ends() == 1
    assert "Apply discarded." in refusal.said
    assert configuration.statuses() == ["discarded"]
    consent = configuration.at_terminal("apply")
    consent.answer("yes")
    assert consent.ends() == 0
    assert "Apply complete! Resources: 1 added, 0 changed, 0 destroyed." in consent.said
    assert configuration.statuses() == ["applied", "discarded"]


@BOTH
def test_options_of_a_plan_reach_the_worker(configuration: Configuration, kind: str) -> None:
    configuration.backend(kind, resources=MANY).init()
    assert "Plan: 1 to add" in configuration.must("plan", "-no-color", "-target=terraform_data.two")
    assert "Resources: 2 added" in configuration.apply()
    assert "must be replaced" not in configuration.must("plan", "-no-color")
    assert "will be replaced, as requested" in configuration.must("plan", "-no-color", "-replace=terraform_data.two")
    assert "No changes." in configuration.must("plan", "-no-color", "-refresh-only")
    assert "Refreshing state" not in configuration.must("plan", "-no-color", "-refresh=false")
    assert "Plan: 0 to add, 0 to change, 2 to destroy." in configuration.must("plan", "-no-color", "-destroy")
    assert "2 destroyed" in configuration.must("destroy", "-no-color", "-auto-approve")
    assert configuration.addresses() == []


def test_a_variable_of_the_command_line_reaches_the_run(configuration: Configuration) -> None:
    configuration.cloud(resources=MANY).init()
    configuration.apply("-var", "word=zz")
    assert configuration.must("output", "-raw", "word") == "zz"


def test_the_remote_backend_refuses_variables_by_itself(configuration: Configuration) -> None:
    configuration.remote(resources=MANY).init()
    assert "Run variables are currently not supported" in configuration.refused("plan", "-var", "word=zz")


@BOTH
def test_outputs_are_shown_and_sensitive_ones_only_in_json(configuration: Configuration, kind: str) -> None:
    configuration.backend(kind, resources=MANY).init()
    assert "hush-hush" not in configuration.apply()
    assert "hush-hush" not in configuration.must("output")
    outputs = json.loads(configuration.must("output", "-json"))
    assert outputs["secret"] == {"sensitive": True, "type": "string", "value": "hush-hush"}
    assert outputs["word"]["value"] == "none"
    assert 'input  = "one"' in configuration.must("show", "-no-color")

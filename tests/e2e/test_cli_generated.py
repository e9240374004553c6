"""Configuration that a plan writes for what it would import, asked for on the command line."""

from __future__ import annotations

from tests.e2e.configuration import Configuration

IMPORT = 'import {\n  to = terraform_data.here\n  id = "an-id"\n}\n'


def test_generated_configuration_comes_to_the_command_line_and_is_applied_once_it_is_code(
    configuration: Configuration,
) -> None:
    configuration.cloud(resources=IMPORT).init()
    said = configuration.must("plan", "-no-color", "-generate-config-out=x.tf")
    assert "1 to import" in said
    written = (configuration.directory / "x.tf").read_text()
    assert 'resource "terraform_data" "here" {' in written
    assert "Resources: 1 imported" in configuration.apply()
    assert configuration.addresses() == ["terraform_data.here"]
    assert "No changes" in configuration.must("plan", "-no-color")


def test_the_old_backend_refuses_before_anything_is_uploaded(configuration: Configuration) -> None:
    configuration.remote(resources=IMPORT).init()
    assert "Generating configuration is not currently supported" in configuration.refused(
        "plan", "-generate-config-out=x.tf"
    )
    assert configuration.runs() == []


def test_a_saved_plan_that_wrote_configuration_is_refused(configuration: Configuration) -> None:
    configuration.cloud(resources=IMPORT).init()
    configuration.must("plan", "-no-color", "-generate-config-out=x.tf", "-out=saved")
    assert configuration.statuses() == ["planned_and_finished"]
    configuration.refused("apply", "saved")
    assert configuration.statuses() == ["planned_and_finished"]
    assert "No state file was found" in configuration.refused("state", "list")

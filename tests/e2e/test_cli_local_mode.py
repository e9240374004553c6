"""Execution mode `local`: terraform runs where it is typed, and the server keeps state and lock."""

from __future__ import annotations

import pytest

from tests.e2e.configuration import Configuration

BOTH = pytest.mark.parametrize("kind", ["cloud", "remote"])


@BOTH
def test_an_apply_runs_here_and_its_state_is_there(configuration: Configuration, kind: str) -> None:
    configuration.backend(kind).init()
    configuration.change(execution_mode="local")
    said = configuration.apply()
    assert "Resources: 1 added" in said
    assert "Running apply in" not in said
    assert configuration.runs() == []
    assert configuration.addresses() == ["terraform_data.one"]
    assert configuration.must("output", "-raw", "said") == "one"
    assert configuration.workspace()["attributes"]["locked"] is False


@BOTH
def test_t22_an_apply_meets_the_lock_of_another(configuration: Configuration, kind: str) -> None:
    configuration.backend(kind).init()
    configuration.change(execution_mode="local")
    configuration.lock()
    assert "workspace already locked" in configuration.refused("apply", "-auto-approve")
    configuration.unlock()
    assert "Resources: 1 added" in configuration.apply()


@BOTH
def test_what_runs_there_goes_on_from_what_ran_here(configuration: Configuration, kind: str) -> None:
    configuration.backend(kind).init()
    configuration.change(execution_mode="local")
    configuration.apply()
    configuration.change(execution_mode="remote")
    assert "No changes." in configuration.must("plan")

"""One whole walk of the stock CLI, on each set of parts."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.configuration import Configuration
from tests.e2e.up import Up, of_parts, processes_on
from tests.migrated import migrated
from tests.services import Embedded, Parts


@pytest.fixture
def walked(parts: Parts, tmp_path: Path) -> Iterator[Configuration]:
    """The embedded set is what `up` starts by itself; the external one is named by its settings."""
    parts.prepared(migrated, "migrated")
    up = Up(tmp_path / "data", **of_parts(parts))
    try:
        yield Configuration(up.wait_until_ready(), tmp_path / "configuration")
        assert up.stop() == 0, up.said()
    finally:
        up.end()
        for pid in processes_on(up.data):
            os.kill(pid, signal.SIGKILL)


def test_init_plan_apply_output_and_destroy(walked: Configuration, parts: Parts) -> None:
    walked.cloud().init()
    assert "Plan: 1 to add" in walked.must("plan", "-no-color")
    terminal = walked.at_terminal("apply")
    terminal.answer("yes")
    assert terminal.ends() == 0, terminal.said
    assert "Apply complete! Resources: 1 added" in terminal.said
    assert walked.must("output", "-raw", "said") == "one"
    assert walked.addresses() == ["terraform_data.one"]
    assert "1 destroyed" in walked.must("destroy", "-auto-approve", "-no-color")
    assert walked.addresses() == []
    brings_valkey = "valkey" in walked.server.children()
    assert brings_valkey is (parts.name == Embedded.name)

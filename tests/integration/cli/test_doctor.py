from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.integration.cli.commands import stateroom


def findings(ended: subprocess.CompletedProcess[str]) -> dict[str, dict[str, Any]]:
    return {finding["subject"]: finding for finding in json.loads(ended.stdout)}


def test_all_is_well_before_the_first_start(tmp_path: Path) -> None:
    ended = stateroom("doctor", "--json", "--data", str(tmp_path))
    found = findings(ended)
    assert {subject: finding["verdict"] for subject, finding in found.items()} == {
        "settings": "ok",
        "disk": "ok",
        "terraform": "ok",
        "sandbox": "ok",
        "keys": "note",
        "database": "note",
        "versions": "note",
        "queue": "ok",
        "objects": "note",
        "clock": "ok",
        "tls": "note",
    }
    assert ended.returncode == 0
    assert list(tmp_path.iterdir()) == []


def test_the_address_is_the_one_that_the_server_was_started_with(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("https://localhost:9443\n")
    (tmp_path / "tools/terraform/1.2.3").mkdir(parents=True)
    found = findings(stateroom("doctor", "--json", "--data", str(tmp_path)))
    assert "reached at https://localhost:9443," in found["settings"]["text"]
    assert "1.2.3, there is no terraform in it" in found["terraform"]["text"]


def test_what_stops_work_has_a_remedy_and_status_1(tmp_path: Path) -> None:
    ended = stateroom("doctor", "--json", "--data", str(tmp_path), PATH="/nowhere")
    finding = findings(ended)["terraform"]
    assert finding["verdict"] == "failed"
    assert str(tmp_path / "tools") in finding["remedy"]
    assert ended.returncode == 1


def test_a_sandbox_switched_off_is_said(tmp_path: Path) -> None:
    ended = stateroom("doctor", "--json", "--data", str(tmp_path), STATEROOM_SANDBOX="none")
    assert findings(ended)["sandbox"]["verdict"] == "note"
    assert "as the worker's user" in findings(ended)["sandbox"]["text"]


def test_a_misspelt_setting_is_named(tmp_path: Path) -> None:
    ended = stateroom("doctor", "--data", str(tmp_path), STATEROOM_PROT="8444")
    assert (
        "note  settings    No such setting, and ignored: STATEROOM_PROT (did you mean STATEROOM_PORT?)." in ended.stdout
    )


@pytest.mark.parametrize(
    ("variable", "value", "subject"),
    [
        ("STATEROOM_REDIS_URL", "redis://127.0.0.1:1/0", "queue"),
        ("STATEROOM_DATABASE_URL", "postgres://nobody@127.0.0.1:1/none", "database"),
        ("STATEROOM_OBJECTS_URL", "file:///proc/nowhere", "objects"),
    ],
)
def test_a_part_that_does_not_answer_is_named(tmp_path: Path, variable: str, value: str, subject: str) -> None:
    ended = stateroom("doctor", "--json", "--data", str(tmp_path), **{variable: value})
    assert findings(ended)[subject]["verdict"] in ("failed", "note")
    assert "Traceback" not in ended.stderr

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.cli import processes
from tests.e2e.ordinary import UID, as_ordinary_user
from tests.e2e.up import LONG, Up, eventually, processes_on


@pytest.fixture
def home() -> Iterator[Path]:
    """A directory of that user's own; pytest's belongs to whoever runs the tests, and is closed to others."""
    path = Path(tempfile.mkdtemp(prefix="stateroom-ordinary-"))
    if os.geteuid() == 0:
        os.chown(path, UID, UID)
    yield path
    shutil.rmtree(path)


def test_an_ordinary_user_needs_nothing_more(home: Path) -> None:
    up = Up(home / "data", before=as_ordinary_user(), HOME=str(home))
    try:
        up.wait_until_ready()
        directory = up.configure(home / "configuration", "first")
        up.must(directory, "init", "-no-color")
        assert "Apply complete!" in up.must(directory, "apply", "-auto-approve", "-no-color")
        owners = {path.lstat().st_uid for path in up.data.rglob("*")}
        assert owners == {UID if os.geteuid() == 0 else os.geteuid()}
        assert up.stop() == 0
        assert processes_on(up.data) == []
    finally:
        up.end()
        assert eventually(lambda: processes_on(home / "data") == [])


def test_doctor_finds_nothing_wrong_for_an_ordinary_user(home: Path) -> None:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("STATEROOM_")}
    ended = subprocess.run(
        [*as_ordinary_user(), *processes.COMMAND, "doctor", "--json", "--data", str(home)],
        env={**inherited, **processes.python_path(), "HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=LONG,
        check=False,
    )
    found = json.loads(ended.stdout)
    assert [finding for finding in found if finding["verdict"] == "failed"] == []
    assert ended.returncode == 0

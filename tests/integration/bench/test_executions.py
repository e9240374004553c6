from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

import pytest

from bench.executions import NothingStarted, own_copy, watching


@pytest.fixture
def program(tmp_path: Path) -> Path:
    sleep = shutil.which("sleep")
    assert sleep
    return own_copy(sleep, tmp_path / "bin")


def test_the_start_of_a_program_is_seen(program: Path) -> None:
    with watching(program) as executions:
        before = time.monotonic()
        with subprocess.Popen([program, "0.5"]):
            started = executions.first_since(before)
            after = time.monotonic()
    assert before <= started <= after


def test_reading_a_program_is_no_start(program: Path) -> None:
    with watching(program) as executions:
        before = time.monotonic()
        program.read_bytes()
        with pytest.raises(NothingStarted):
            executions.first_since(before, limit=0.5)

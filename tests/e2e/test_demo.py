from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from app.cli import demo
from tests.e2e.up import eventually, processes_on

#: On a port of its own: two demos that begin at once could find the same one free.
SCRIPT = (
    "from pathlib import Path; from app.cli import demo; demo.DATA, demo.PORT = Path({data!r}), {port}; demo.main()"
)
LONG = 120


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    data = tmp_path / "demo"
    yield data
    for pid in processes_on(data):
        os.kill(pid, signal.SIGKILL)


def argv(data: Path) -> list[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    return [sys.executable, "-c", SCRIPT.format(data=str(data), port=port)]


def run(data: Path) -> subprocess.CompletedProcess[str]:
    """The demo without a terminal."""
    return subprocess.run(
        argv(data),
        cwd=demo.ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LONG,
        check=False,
    )


def test_without_a_terminal_it_runs_stops_and_says_whether_it_worked(data: Path) -> None:
    first = run(data)
    assert first.returncode == 0, (first.stdout, first.stderr)
    assert "Minute 3: the tea draws." in first.stdout
    assert "Apply complete! Resources: 3 added, 0 changed, 0 destroyed." in first.stdout
    assert "/app/main/hello/runs/run-" in first.stdout
    assert "/login/once/" in first.stdout
    assert eventually(lambda: processes_on(data) == [])

    second = run(data)
    assert second.returncode == 0, (second.stdout, second.stderr)
    assert "Apply complete! Resources: 3 added, 0 changed, 3 destroyed." in second.stdout


def test_a_terraform_that_fails_fails_the_demo(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "bin" / "terraform"
    broken.parent.mkdir()
    broken.write_text("#!/bin/sh\necho no >&2\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", f"{broken.parent}:{os.environ['PATH']}")
    ended = run(data)
    assert ended.returncode == 1
    assert "That did not work." in ended.stdout
    assert processes_on(data) == []


def test_at_a_terminal_it_serves_until_ctrl_c(data: Path) -> None:
    command, *arguments = argv(data)
    shown = pexpect.spawn(command, arguments, cwd=str(demo.ROOT), timeout=LONG, encoding="utf-8")
    try:
        shown.expect("Apply complete!")
        shown.expect("Your own configuration")
        shown.expect("Serving until Ctrl-C")
        assert processes_on(data) != []
        shown.sendintr()
        shown.expect("Stopping")
        shown.expect(pexpect.EOF)
    finally:
        shown.close()
    assert shown.exitstatus == 0
    assert processes_on(data) == []


def test_a_server_that_does_not_start_is_quoted(data: Path) -> None:
    data.mkdir()
    (data / "tls").write_text("in the way")
    ended = run(data)
    assert ended.returncode == 1
    assert "Stateroom did not start." in ended.stderr
    assert "stateroom: The data directory" in ended.stderr

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.cli import demo
from app.errors import StateroomError
from tests.integration.cli.commands import LONG, environment


def test_without_terraform_it_says_where_to_get_it() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "app.cli.demo"],
        env=environment(PATH="/nowhere"),
        cwd=demo.ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LONG,
        check=False,
    )
    assert ended.returncode == 1
    assert "There is no terraform on PATH" in ended.stderr
    assert "https://developer.hashicorp.com/terraform/install" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_newest_terraform_of_the_tools_directory_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("STATEROOM_TOOLS_DIR", raising=False)
    with pytest.raises(StateroomError):
        demo.find_terraform(tmp_path)
    for version in ("1.9.8", "1.11.4", "1.2.0"):
        (tmp_path / "tools" / "terraform" / version).mkdir(parents=True)
        (tmp_path / "tools" / "terraform" / version / "terraform").touch()
    assert demo.find_terraform(tmp_path) == str(tmp_path / "tools" / "terraform" / "1.11.4" / "terraform")


def test_a_taken_port_is_stepped_aside_from_and_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setattr(demo, "PORT", taken.getsockname()[1])
        chosen = demo._free_port(tmp_path)
        assert chosen != demo.PORT
    assert demo._free_port(tmp_path) == chosen


def test_a_machine_without_sandbox_is_told_in_plain_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from app.supervisor import sandbox

    monkeypatch.delenv("STATEROOM_SANDBOX", raising=False)
    monkeypatch.setattr(sandbox, "probe", lambda *_: "This machine forbids user namespaces.")
    assert demo.sandbox(tmp_path) == "none"
    said = capsys.readouterr().out
    assert "This machine forbids user namespaces." in said
    assert "WITHOUT A SANDBOX" in said


def test_a_chosen_sandbox_is_not_second_guessed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "STATEROOM_SANDBOX", "none")
    assert demo.sandbox(tmp_path) == "none"

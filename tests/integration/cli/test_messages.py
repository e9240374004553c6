"""What `stateroom` says when it cannot do what it was asked, and that its status is 1."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from app.cli import processes
from tests.e2e.ordinary import UID, as_ordinary_user
from tests.integration.cli.commands import LONG, environment, run, stateroom

ROOT = Path(__file__).parents[3]


def refused(ended: subprocess.CompletedProcess[str]) -> str:
    """The sentence of a command that was refused: no traceback, nothing on standard output, status 1."""
    assert ended.returncode == 1, (ended.stdout, ended.stderr)
    assert ended.stdout == ""
    assert "Traceback" not in ended.stderr
    assert ended.stderr.startswith("stateroom: ")
    return ended.stderr.strip()


def on_file_system(options: str, place: Path) -> tuple[str, ...]:
    """What puts a command where *place* is a file system of its own, mounted with *options*."""
    script = f'mount -t tmpfs -o {options} none {place} && exec "$@"'
    return ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh")


def test_a_port_in_use_is_named_with_the_remedy(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = refused(stateroom("up", "--data", str(tmp_path), "--port", str(port), STATEROOM_PROT="1"))
    assert said.startswith(
        "stateroom: Warning: No such setting, and ignored: STATEROOM_PROT (did you mean STATEROOM_PO"
    )
    assert f"Cannot listen on 127.0.0.1 port {port}: Address already in use." in said
    assert "choose another port with --port" in said


def test_a_second_instance_on_one_directory_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        said = refused(stateroom("up", "--data", str(tmp_path), "--port", "0"))
    assert f"Another stateroom (process {os.getpid()}) runs on {tmp_path}." in said


def test_a_read_only_directory_is_named_with_the_remedy(tmp_path: Path) -> None:
    read_only = on_file_system("ro", tmp_path)
    said = refused(run([*read_only, *processes.COMMAND, "up", "--data", str(tmp_path), "--port", "0"]))
    assert f"The data directory {tmp_path} cannot be written: Read-only file system." in said
    assert "--data" in said


@pytest.mark.parametrize("size", ["16k", "300k", "1m"], ids=["at once", "while it starts", "when its parts start"])
def test_a_full_disk_is_named_with_the_remedy(tmp_path: Path, size: str) -> None:
    full = on_file_system(f"size={size}", tmp_path)
    said = refused(run([*full, *processes.COMMAND, "up", "--data", str(tmp_path), "--port", "0"]))
    assert "free some space" in said.lower()


def test_a_file_in_place_of_the_directory_is_named(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_text("")
    assert "That is a file" in refused(stateroom("up", "--data", str(path), "--port", "0"))


def test_a_directory_of_somebody_else_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    data = str(tmp_path / "data")
    said = refused(run([*as_ordinary_user(), *processes.COMMAND, "up", "--data", data, "--port", "0"]))
    assert f"The data directory {data} cannot be written: Permission denied." in said
    assert f"Let this user (uid {UID if os.geteuid() == 0 else os.geteuid()}) write there" in said


def test_no_tls_is_refused_beyond_loopback(tmp_path: Path) -> None:
    said = refused(stateroom("up", "--data", str(tmp_path), "--no-tls", "--host", "0.0.0.0"))
    assert "host 0.0.0.0 without TLS would send tokens in clear text" in said
    assert "STATEROOM_BEHIND_PROXY=true" in said


def test_serve_refuses_a_plain_text_bind_too(tmp_path: Path) -> None:
    said = refused(
        stateroom("serve", STATEROOM_TLS="false", STATEROOM_HOST="0.0.0.0", STATEROOM_DATA_DIR=str(tmp_path))
    )
    assert "would send tokens in clear text" in said


def test_a_wrong_setting_is_named_with_its_variable() -> None:
    assert "STATEROOM_PORT" in refused(stateroom("up", STATEROOM_PORT="http"))


def test_env_says_where_nothing_was_started(tmp_path: Path) -> None:
    said = refused(stateroom("env", "--data", str(tmp_path)))
    assert f"{tmp_path} holds no terraformrc." in said


def test_env_prints_lines_that_a_shell_understands(tmp_path: Path) -> None:
    data = tmp_path / "it's here; $(exit 9)"
    data.mkdir()
    for name in ("terraformrc", "ca-bundle.pem"):
        (data / name).touch()
    script = 'eval "$("$@")" && printf "%s\\n" "$TF_CLI_CONFIG_FILE" "$SSL_CERT_FILE"'
    argv = [*processes.COMMAND, "env", "--data", str(data)]
    said = subprocess.run(
        ["sh", "-c", script, "sh", *argv],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=LONG,
        check=True,
    )
    assert said.stdout.splitlines() == [str(data / "terraformrc"), str(data / "ca-bundle.pem")]
    listed = stateroom("env", "--data", str(data), "--json")
    assert json.loads(listed.stdout)["TF_CLI_CONFIG_FILE"] == str(data / "terraformrc")


def test_a_command_where_nothing_was_started_says_so(tmp_path: Path) -> None:
    said = refused(stateroom("user", "login-link", "--data", str(tmp_path)))
    assert f"there is no installation in {tmp_path}" in said
    assert not list(tmp_path.iterdir())


def test_the_server_is_not_imported_from_the_current_directory(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "__init__.py").write_text("raise SystemExit('the wrong app')")
    ended = subprocess.run(
        [*processes.COMMAND, "--help"],
        env=environment(),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=LONG,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr


COMMANDS = "up env doctor serve worker migrate user,create user,login-link token,create org,create user token org"


@pytest.mark.parametrize("command", ["", *COMMANDS.split()])
def test_each_command_explains_itself_without_heavy_imports(command: str) -> None:
    script = (
        "import sys; from app.cli.main import app; sys.argv = ['stateroom', *sys.argv[1:]]\n"
        "try: app()\n"
        "except SystemExit: pass\n"
        "print([m for m in ('tortoise', 'pydantic_settings', 'cryptography', 'uvicorn', 'redis') if m in sys.modules])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script, *filter(None, command.split(",")), "--help"],
        env=environment(),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=LONG,
        check=True,
    )
    *text, imported = ended.stdout.splitlines()
    assert imported == "[]"
    assert len(text) > 5

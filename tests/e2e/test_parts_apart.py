"""The product as a real deployment runs it: `migrate`, then `serve` and `worker` by themselves."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.cli import certificates, client_files, env, processes
from app.secret import Secret
from tests.e2e.up import CONFIGURATION, LONG, Up, eventually
from tests.services import External, Parts

#: What `up` brings along is seen wherever it is started.
pytestmark = pytest.mark.parametrize("parts", [External.name], indirect=True)


class Installation:
    """The settings all its processes share, and the processes."""

    def __init__(self, directory: Path, parts: Parts) -> None:
        self.data = directory / "data"
        self.data.mkdir(mode=0o700)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.made = certificates.ensure(self.data)
        self.url = f"https://localhost:{port}"
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("STATEROOM_")}
        self.environment = {
            **inherited,
            **processes.python_path(),
            **parts.environment,
            "STATEROOM_DATA_DIR": str(self.data),
            "STATEROOM_PORT": str(port),
            "STATEROOM_TLS_CERTIFICATE": str(self.made.certificate),
            "STATEROOM_TLS_KEY": str(self.made.key),
            "STATEROOM_TLS_CA": str(self.made.ca),
        }
        self.log = directory / "log"
        self.running: list[subprocess.Popen[bytes]] = []

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*processes.COMMAND, *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=LONG,
            check=False,
        )

    def must(self, *arguments: str) -> str:
        ended = self.run(*arguments)
        assert ended.returncode == 0, (ended.stdout, ended.stderr)
        return ended.stdout

    def start(self, command: str) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            argv = [*processes.COMMAND, command]
            process = subprocess.Popen(argv, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.running.append(process)
        return process

    def answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", int(self.environment["STATEROOM_PORT"])), LONG).close()
        except ConnectionRefusedError:
            return False
        return True

    def end(self) -> None:
        for process in self.running:
            if process.poll() is None:
                process.kill()
            process.wait()


@pytest.fixture
def installation(tmp_path: Path, parts: Parts) -> Iterator[Installation]:
    installation = Installation(tmp_path, parts)
    yield installation
    installation.end()


def test_serve_and_worker_run_what_terraform_asks_for(installation: Installation, tmp_path: Path) -> None:
    assert "applying 0001_initial" in installation.must("migrate")
    assert "up to date" in installation.must("migrate")
    installation.must("user", "create", "ines")
    installation.must("org", "create", "acme", "--owner", "ines")
    token = json.loads(installation.must("token", "create", "--user", "ines", "--json"))["token"]
    client_files.write(installation.data, installation.url, Secret(token))
    web, worker = installation.start("serve"), installation.start("worker")
    assert eventually(installation.answers), installation.log.read_text()

    directory = tmp_path / "configuration"
    directory.mkdir()
    host = installation.url.partition("://")[2]
    values = {"host": host, "organization": "acme", "workspace": "apart"}
    (directory / "main.tf").write_text(CONFIGURATION % values)
    for arguments in (("init",), ("apply", "-auto-approve")):
        ended = subprocess.run(
            ["terraform", *arguments, "-no-color"],
            cwd=directory,
            env={**os.environ, **env.variables(installation.data)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=2 * LONG,
            check=False,
        )
        assert ended.returncode == 0, (ended.stdout, ended.stderr, installation.log.read_text())
    assert "Apply complete! Resources: 1 added" in ended.stdout

    found = json.loads(installation.must("doctor", "--json"))
    assert [finding for finding in found if finding["verdict"] == "failed"] == []
    for process in (worker, web):
        process.send_signal(signal.SIGTERM)
        assert process.wait(LONG) == 0, installation.log.read_text()


def test_serve_and_worker_refuse_a_database_that_was_not_migrated(installation: Installation) -> None:
    for command in ("serve", "worker"):
        ended = installation.run(command)
        assert ended.returncode == 1
        assert "Run `stateroom migrate`" in ended.stderr
        assert "Traceback" not in ended.stderr


def test_up_uses_the_parts_it_is_given(tmp_path: Path, parts: Parts) -> None:
    up = Up(tmp_path / "data", **parts.environment)
    try:
        up.wait_until_ready()
        directory = up.configure(tmp_path / "configuration", "given")
        up.must(directory, "init", "-no-color")
        assert "Apply complete!" in up.must(directory, "apply", "-auto-approve", "-no-color")
        assert set(up.children()) == {"web", "worker"}
        assert up.stop() == 0
    finally:
        up.end()

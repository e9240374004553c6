"""A `stateroom up` that tests start, use with a stock terraform, and end."""

from __future__ import annotations

import json
import os
import shutil
import signal
import ssl
import subprocess
import time
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from app.cli import env, processes
from tests.services import External, Parts

LONG = 60.0

CONFIGURATION = """
terraform {
  backend "remote" {
    hostname     = "%(host)s"
    organization = "%(organization)s"
    workspaces { name = "%(workspace)s" }
  }
}
resource "terraform_data" "one" { input = "one" }
output "said" { value = terraform_data.one.output }
"""


def eventually(holds: Callable[[], bool], seconds: float = LONG) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(0.05)
    return holds()


def furnished(data: Path, database: Path) -> Path:
    """The directory of a server that finds a copy of *database* at its first start, which then has less to do."""
    data.mkdir(0o700, exist_ok=True)
    shutil.copy(database, data / "stateroom.sqlite3")
    return data


class Up:
    """One server on one directory, in a process group of its own."""

    def __init__(self, data: Path, *options: str, before: Sequence[str] = (), **settings: str) -> None:
        self.data = data
        self.log = data.with_name(data.name + ".log")
        argv = [*before, *processes.COMMAND, "up", "--data", str(data), *options]
        if "--port" not in options:
            argv += ["--port", "0"]
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("STATEROOM_")}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                argv,
                env={**inherited, **processes.python_path(), "STATEROOM_DOWNLOADS": "false", **settings},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        self.url = ""

    def wait_until_ready(self) -> Up:
        assert self.process.stdout is not None
        line = self.process.stdout.readline().decode()
        assert line.startswith("ready http"), self.said()
        self.url = line.split()[1]
        return self

    @property
    def host(self) -> str:
        return self.url.partition("://")[2]

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        try:
            status = self.process.wait(LONG)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it does not stop: {self.said()}") from None
        assert self.process.stdout is not None
        self.process.stdout.close()
        return status

    def end(self) -> None:
        """However it stands, leave nothing."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.wait()

    def children(self) -> dict[str, int]:
        """The pid of `web`, `worker` and `valkey`, as far as they run."""
        found = {}
        for pid in processes_on(self.data):
            if _parent(pid) == self.process.pid:
                command = _read(pid, "cmdline").split("\0")
                found["web" if "serve" in command else "worker" if "worker" in command else "valkey"] = pid
        return found

    def get(self, path: str) -> Any:
        """What the API answers the admin."""
        token = (self.data / "admin-token").read_text().strip()
        request = urllib.request.Request(self.url + path, headers={"Authorization": f"Bearer {token}"})
        trusted = ssl.create_default_context(cafile=str(self.data / "ca.pem")) if "https" in self.url else None
        with urllib.request.urlopen(request, timeout=LONG, context=trusted) as answer:
            return json.loads(answer.read())

    def configure(self, directory: Path, workspace: str, organization: str = "main") -> Path:
        """Write a small configuration that runs here."""
        directory.mkdir(exist_ok=True)
        values = {"host": self.host, "organization": organization, "workspace": workspace}
        (directory / "main.tf").write_text(CONFIGURATION % values)
        return directory

    def terraform(self, directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the stock terraform as a shell would after `eval "$(stateroom env)"`."""
        return subprocess.run(
            ["terraform", *arguments],
            cwd=directory,
            env={**os.environ, **env.variables(self.data)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def must(self, directory: Path, *arguments: str) -> str:
        ended = self.terraform(directory, *arguments)
        assert ended.returncode == 0, (ended.stdout, ended.stderr, self.said())
        return ended.stdout


def of_parts(parts: Parts) -> dict[str, str]:
    """What names the parts of a server, if they are not those it brings along."""
    return parts.environment if isinstance(parts, External) else {}


def processes_on(data: Path) -> list[int]:
    """Every process that was started for *data*.  Zombies are gone already, whoever should bury them."""
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]
    return [pid for pid in pids if _is_for(pid, data) and _is_running(pid)]


def _is_for(pid: int, data: Path) -> bool:
    """By its environment; Valkey writes its title over that, and works in its directory."""
    if f"STATEROOM_DATA_DIR={data}" in _read(pid, "environ").split("\0"):
        return True
    try:
        return Path(os.readlink(f"/proc/{pid}/cwd")).is_relative_to(data)
    except OSError:
        return False


def _is_running(pid: int) -> bool:
    fields = _read(pid, "stat").rpartition(")")[2].split()
    return bool(fields) and fields[0] not in "ZX"


def _parent(pid: int) -> int:
    fields = _read(pid, "stat").rpartition(")")[2].split()
    return int(fields[1]) if fields else 0


def _read(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return ""

"""A configuration that a stock terraform uses on a server, in a pipe or at a terminal."""

from __future__ import annotations

import json
import os
import re
import ssl
import subprocess
import urllib.request
import uuid
from pathlib import Path
from typing import Any

import pexpect

from app.cli import env
from tests.e2e.up import LONG, Up

ONE = """
resource "terraform_data" "one" { input = "one" }
output "said" { value = terraform_data.one.output }
"""

COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class Configuration:
    """Its workspace has a name nobody else has: tests share the server."""

    def __init__(self, server: Up, directory: Path) -> None:
        self.server = server
        self.directory = directory
        self.name = f"w-{uuid.uuid4().hex[:10]}"
        self.program = "terraform"
        directory.mkdir()

    # -- what is written ---------------------------------------------------------------------------------------

    def cloud(self, workspaces: str = "", resources: str = ONE) -> Configuration:
        return self._write("cloud", workspaces, resources)

    def remote(self, workspaces: str = "", resources: str = ONE) -> Configuration:
        return self._write('backend "remote"', workspaces, resources)

    def backend(self, kind: str, workspaces: str = "", resources: str = ONE) -> Configuration:
        return self.cloud(workspaces, resources) if kind == "cloud" else self.remote(workspaces, resources)

    def resources(self, text: str) -> Configuration:
        (self.directory / "main.tf").write_text(text)
        return self

    def _write(self, kind: str, workspaces: str, resources: str) -> Configuration:
        workspaces = workspaces or f'name = "{self.name}"'
        (self.directory / "backend.tf").write_text(
            f'terraform {{\n  {kind} {{\n    hostname = "{self.server.host}"\n    organization = "main"\n'
            f"    workspaces {{\n      {workspaces}\n    }}\n  }}\n}}\n"
        )
        return self.resources(resources)

    # -- what is run -------------------------------------------------------------------------------------------

    @property
    def environment(self) -> dict[str, str]:
        ours = env.variables(self.server.data)
        # Up to 0.11 the variable had another name.
        return {**os.environ, **ours, "TERRAFORM_CONFIG": ours["TF_CLI_CONFIG_FILE"], "CHECKPOINT_DISABLE": "1"}

    def run(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.program, *arguments],
            cwd=self.directory,
            env=self.environment,
            input=stdin if stdin is not None else "",
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def must(self, *arguments: str, stdin: str | None = None) -> str:
        """What it says, without colours: the cloud block passes those of a run's log on, `-no-color` or not."""
        ended = self.run(*arguments, stdin=stdin)
        assert ended.returncode == 0, (arguments, ended.stdout, ended.stderr, self.server.said()[-4000:])
        return COLOURS.sub("", ended.stdout)

    def refused(self, *arguments: str, stdin: str | None = None) -> str:
        """What terraform says when it fails, in one line, without the frame and the wrapping."""
        ended = self.run(*arguments, stdin=stdin)
        assert ended.returncode == 1, (arguments, ended.stdout, ended.stderr)
        return flat(ended.stdout + ended.stderr)

    def init(self) -> Configuration:
        self.must("init", "-no-color", "-input=false")
        return self

    def apply(self, *options: str) -> str:
        return self.must("apply", "-auto-approve", "-no-color", *options)

    def at_terminal(self, *arguments: str) -> Terminal:
        return Terminal(self, arguments)

    # -- what the server knows ---------------------------------------------------------------------------------

    def state(self) -> Any:
        return json.loads(self.must("state", "pull"))

    def addresses(self) -> list[str]:
        return self.must("state", "list").split()

    def workspace(self) -> Any:
        return self.call("GET", f"/api/v2/organizations/main/workspaces/{self.name}")["data"]

    def runs(self) -> list[Any]:
        found: list[Any] = self.call("GET", f"/api/v2/workspaces/{self.workspace()['id']}/runs")["data"]
        return found

    def statuses(self) -> list[str]:
        return [run["attributes"]["status"] for run in self.runs()]

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """What the API answers the admin; *path* may be followed to where it redirects."""
        token = (self.server.data / "admin-token").read_text().strip()
        request = urllib.request.Request(
            self.server.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {token}", "Content-Type": "application/vnd.api+json"},
        )
        trusted = ssl.create_default_context(cafile=str(self.server.data / "ca.pem"))
        with urllib.request.urlopen(request, timeout=LONG, context=trusted) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def change(self, **attributes: Any) -> None:
        named = {name.replace("_", "-"): value for name, value in attributes.items()}
        path = f"/api/v2/workspaces/{self.workspace()['id']}"
        self.call("PATCH", path, {"data": {"type": "workspaces", "attributes": named}})

    def lock(self) -> None:
        self.call("POST", f"/api/v2/workspaces/{self.workspace()['id']}/actions/lock", {"reason": "a person"})

    def unlock(self) -> None:
        self.call("POST", f"/api/v2/workspaces/{self.workspace()['id']}/actions/unlock")


class Terminal:
    """A command at a pseudo-terminal, which answers and interrupts as a person does."""

    def __init__(self, configuration: Configuration, arguments: tuple[str, ...]) -> None:
        self._said = ""
        self._child = pexpect.spawn(
            configuration.program,
            list(arguments),
            cwd=str(configuration.directory),
            env=configuration.environment,
            encoding="utf-8",
            timeout=LONG,
            dimensions=(50, 300),
        )

    @property
    def said(self) -> str:
        return COLOURS.sub("", self._said).replace("\r", "")

    def wait_for(self, text: str) -> None:
        self._child.expect_exact(text)
        self._said += self._child.before + self._child.after

    def answer(self, text: str) -> None:
        """Answer the next question, when it is asked."""
        self.wait_for("Enter a value:")
        self.type(text)

    def type(self, text: str) -> None:
        self._child.sendline(text)

    def interrupt(self) -> None:
        self._child.sendintr()

    def ends(self) -> int:
        """Wait for its end; the exit status."""
        self._child.expect(pexpect.EOF)
        self._said += self._child.before
        self._child.close()
        return int(self._child.exitstatus if self._child.exitstatus is not None else -self._child.signalstatus)


def flat(text: str) -> str:
    return " ".join(COLOURS.sub("", text).replace("│", " ").split())


def plan_in(text: str) -> str:
    """What terraform shows as the plan, without what stands around it."""
    text = COLOURS.sub("", text).replace("\r", "")
    start = text.index("Terraform used the selected providers")
    end = re.search(r"^Plan: .*$", text[start:], re.MULTILINE)
    assert end is not None, text
    return text[start : start + end.end()]

"""A running server as a program sees it: runs made through the API, logs read by their signed addresses."""

from __future__ import annotations

import re
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import httpx2

from tests.e2e.up import LONG, Up, eventually
from tests.factories import archive

JSON_API = "application/vnd.api+json"
FINAL = ("applied", "errored", "canceled", "discarded", "planned_and_finished", "force_canceled")

COLOURS = re.compile(rb"\x1b\[[0-9;]*m")

#: What a command of a resource does until the test opens the gate.
GATE = "while [ ! -e go ]; do sleep 0.05; done"


class Site:
    """One server, and what the admin asks of it.  Survives the server's restart on the same port."""

    def __init__(self, up: Up) -> None:
        self.up = up

    @cached_property
    def http(self) -> httpx2.Client:
        trusted = ssl.create_default_context(cafile=str(self.up.data / "ca.pem"))
        return httpx2.Client(base_url=self.up.url, verify=trusted, timeout=LONG)

    @cached_property
    def token(self) -> str:
        return (self.up.data / "admin-token").read_text().strip()

    def call(self, method: str, path: str, data: Any = None) -> Any:
        headers = {"authorization": f"Bearer {self.token}", "content-type": JSON_API}
        given: dict[str, Any] = {} if data is None else {"json": {"data": data}}
        answer = self.http.request(method, "/api/v2" + path, headers=headers, **given)
        assert answer.status_code < 400, (method, path, answer.status_code, answer.text, self.up.said()[-3000:])
        return answer.json()["data"] if answer.content else None

    def make_workspace(self, name: str) -> str:
        attributes = {"name": name, "terraform-version": "1.11.4"}
        made = self.call("POST", "/organizations/main/workspaces", {"type": "workspaces", "attributes": attributes})
        return str(made["id"])

    def set_variable(self, workspace: str, key: str, value: str, category: str) -> None:
        attributes = {"key": key, "value": value, "category": category, "sensitive": True}
        self.call("POST", f"/workspaces/{workspace}/vars", {"type": "vars", "attributes": attributes})

    def start(self, workspace: str, files: Mapping[str, str | bytes], **options: Any) -> OneRun:
        path = f"/workspaces/{workspace}/configuration-versions"
        sent = {"type": "configuration-versions", "attributes": {"auto-queue-runs": False}}
        version = self.call("POST", path, sent)
        answer = self.http.put(version["attributes"]["upload-url"], content=archive(files))
        assert answer.status_code == 200, answer.text
        relations = {
            "workspace": {"data": {"type": "workspaces", "id": workspace}},
            "configuration-version": {"data": {"type": "configuration-versions", "id": version["id"]}},
        }
        attributes = {name.replace("_", "-"): value for name, value in options.items()}
        made = self.call("POST", "/runs", {"type": "runs", "attributes": attributes, "relationships": relations})
        return OneRun(self, made["id"])

    def resources(self, workspace: str) -> list[str]:
        """The names of what the current state holds."""
        version = self.call("GET", f"/workspaces/{workspace}/current-state-version")
        headers = {"authorization": f"Bearer {self.token}"}
        state = self.http.get(version["attributes"]["hosted-state-download-url"], headers=headers).json()
        return sorted(resource["name"] for resource in state["resources"])

    def is_locked(self, workspace: str) -> bool:
        return bool(self.call("GET", f"/workspaces/{workspace}")["attributes"]["locked"])

    def newest_run(self, workspace: str) -> OneRun:
        """The run a terraform on this workspace started; waited for."""
        path = f"/workspaces/{workspace}/runs"
        assert eventually(lambda: bool(self.call("GET", path))), self.up.said()
        return OneRun(self, self.call("GET", path)[0]["id"])

    def open_gate(self) -> None:
        """Let the commands that wait at `GATE` go on."""
        for config in (self.up.data / "runs").glob("*/config"):
            (config / "go").touch()


@dataclass
class OneRun:
    site: Site
    id: str

    @property
    def status(self) -> str:
        return str(self.site.call("GET", f"/runs/{self.id}")["attributes"]["status"])

    def wait(self, *statuses: str) -> str:
        assert eventually(lambda: self.status in statuses), (self.status, self.site.up.said()[-4000:])
        return self.status

    def ends(self) -> str:
        return self.wait(*FINAL)

    def confirm(self) -> None:
        self.site.call("POST", f"/runs/{self.id}/actions/apply")

    def log_url(self, phase: str) -> str:
        run = self.site.call("GET", f"/runs/{self.id}")
        id = run["relationships"][phase]["data"]["id"]
        words = {"plan": "plans", "apply": "applies"}
        return str(self.site.call("GET", f"/{words[phase]}/{id}")["attributes"]["log-read-url"])

    def follow(self, phase: str, offset: int = 0, limit: int = 65_536) -> Reader:
        reader = Reader(self.site, self.log_url(phase), offset, limit)
        reader.thread.start()
        return reader


@dataclass
class Reader:
    """Reads a log as a client does: again at once after each answer, until 0x03."""

    site: Site
    url: str
    offset: int
    limit: int
    answers: list[bytes] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    @cached_property
    def thread(self) -> threading.Thread:
        return threading.Thread(target=self._read, daemon=True)

    @property
    def seen(self) -> bytes:
        return b"".join(self.answers)

    @property
    def empty(self) -> int:
        return self.answers.count(b"")

    def _read(self) -> None:
        position, deadline = self.offset, time.monotonic() + 2 * LONG
        last = b""
        while not last.endswith(b"\x03"):
            if time.monotonic() > deadline:
                self.failed.append("it never ended")
                return
            try:
                answer = self.site.http.get(self.url, params={"offset": position, "limit": self.limit})
            except httpx2.TransportError:  # the server is killed: a client tries again
                time.sleep(0.1)
                continue
            if answer.status_code != 200 or len(answer.content) > self.limit:
                self.failed.append(f"{answer.status_code}, {len(answer.content)} bytes")
                return
            last = answer.content
            position += len(last)
            self.answers.append(last)

    def until(self, text: str) -> Reader:
        assert eventually(lambda: text.encode() in plain(self.seen)), (
            self.failed,
            self.seen,
            self.site.up.said()[-4000:],
        )
        return self

    def whole(self) -> bytes:
        """All of it, once the log has ended."""
        self.thread.join(2 * LONG)
        assert not self.thread.is_alive(), self.seen[-2000:]
        assert self.failed == []
        return self.seen


def plain(log: bytes) -> bytes:
    """*log* without its colours."""
    return COLOURS.sub(b"", log)


def steps(*commands: str) -> dict[str, str]:
    """A configuration of resources made one after the other, each by its command."""
    return {"main.tf": "".join(_steps(commands))}


def _steps(commands: tuple[str, ...]) -> Iterator[str]:
    for number, command in enumerate(commands):
        after = f"depends_on = [terraform_data.step{number - 1}]" if number else ""
        yield f'resource "terraform_data" "step{number}" {{\n  {after}\n'
        yield f'  provisioner "local-exec" {{\n    command = <<-EOT\n{command}\nEOT\n  }}\n}}\n'

"""What the processes of a server write, at the level that says most: what a run did, and no secret."""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.site import GATE, OneRun, Site
from tests.e2e.test_secrets import found_in, invented
from tests.e2e.up import Up, eventually, of_parts, processes_on
from tests.migrated import migrated
from tests.services import Parts

#: Keeps two secrets in its state, hands out the token it works with, and fails with a secret in its words.
FILES = """
variable "word" {
  type      = string
  sensitive = true
}
variable "fails" { default = false }
resource "terraform_data" "kept" {
  input = { given = var.word, made = sensitive("%(made)s") }
}
resource "terraform_data" "used" {
  depends_on = [terraform_data.kept]
  provisioner "local-exec" {
    command = "echo uses $CLOUD_KEY; cat $TF_CLI_CONFIG_FILE > token; %(gate)s"
  }
  lifecycle {
    postcondition {
      condition     = !var.fails
      error_message = "It does not like ${nonsensitive(var.word)}."
    }
  }
}
"""

JSON, TEXT = pytest.param("embedded", "json", id="json"), pytest.param("external", "text", id="text")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z \[(debug|info|warning|error|critical)\] .")


@pytest.fixture
def site(parts: Parts, form: str, tmp_path: Path) -> Iterator[Site]:
    settings = {"STATEROOM_LOG_LEVEL": "debug", "STATEROOM_LOG_FORMAT": form}
    parts.prepared(migrated, "migrated")
    up = Up(tmp_path / "data", **of_parts(parts), **settings)
    try:
        yield Site(up.wait_until_ready())
    finally:
        up.end()
        for pid in processes_on(up.data):
            os.kill(pid, signal.SIGKILL)
        assert eventually(lambda: processes_on(up.data) == []), processes_on(up.data)


@contextmanager
def watched_arguments() -> Iterator[set[bytes]]:
    """Every command line that any process has meanwhile, as far as looking again and again can tell."""
    seen, over = set[bytes](), threading.Event()

    def look() -> None:
        while not over.wait(0.01):
            for entry in os.scandir("/proc"):
                if entry.name.isdecimal():
                    try:
                        seen.add(Path(entry.path, "cmdline").read_bytes())
                    except OSError:  # it has ended
                        continue

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield seen
    finally:
        over.set()
        looking.join()


def sent_wrongly(site: Site, workspace: str, sought: Mapping[str, str]) -> None:
    """Requests that are refused, each with a secret where one might stand."""
    by_admin = {"authorization": f"Bearer {site.token}", "content-type": "application/vnd.api+json"}
    variable = {"key": "", "value": sought["a refused variable"], "category": "terraform", "sensitive": True}
    document = {"data": {"type": "vars", "attributes": variable}}
    state = {"serial": 1, "md5": "0" * 32, "state": sought["a refused state"]}
    version = {"data": {"type": "state-versions", "attributes": state}}
    path = f"/api/v2/workspaces/{workspace}"
    assert site.http.post(f"{path}/vars", headers=by_admin, json=document).status_code == 422
    assert site.http.post(f"{path}/state-versions", headers=by_admin, json=version).status_code in (409, 422)
    broken = f'{{"data": "{sought["a broken body"]}'.encode()
    assert site.http.post(f"{path}/vars", headers=by_admin, content=broken).status_code == 400
    nobody = {"authorization": f"Bearer {sought['a wrong token'].encode().hex()}"}
    assert site.http.get("/api/v2/account/details", headers=nobody).status_code == 401
    asked = {"search[name]": sought["a query"], "filter[x]": sought["a query"]}
    assert site.http.get("/api/v2/organizations/main/workspaces", headers=by_admin, params=asked).status_code < 500
    signed = {"x-hub-signature-256": f"sha256={sought['a signature']}", "x-github-event": "push"}
    hook = {"secret": sought["a webhook's body"], "zen": "ünïcode"}
    assert site.http.post("/github/webhooks", headers=signed, json=hook).status_code < 500
    assert site.http.get(f"/v1/object/{sought['a signature']}").status_code in (403, 404)
    form = {"username": "admin", "password": sought["a password"]}
    assert site.http.post("/login", headers={"origin": site.up.url}, data=form).status_code < 500


def run_token(site: Site) -> str:
    """The token with which the run that goes on works, as its provisioner wrote it down."""
    found = []

    def looks() -> bool:
        for path in (site.up.data / "runs").glob("*/config/token"):
            found.extend(re.findall(r'token\s*=\s*"([^"]+)"', path.read_text()))
        return bool(found)

    assert eventually(looks), site.up.said()[-3000:]
    return str(found[0])


@pytest.mark.parametrize(("parts", "form"), [JSON, TEXT], indirect=["parts"])
def test_a_run_is_told_of_and_no_secret_is(site: Site, form: str) -> None:
    names = ("the variable", "the key", "a refused variable", "a refused state", "a broken body", "a wrong token")
    sought = {name: invented("s") for name in (*names, "a query", "a webhook's body", "a password")}
    sought |= {"the state": secrets.token_urlsafe(24), "a signature": secrets.token_hex(32)}
    user = site.call("GET", "/account/details")["id"]
    made = site.call("POST", f"/users/{user}/authentication-tokens", {"type": "authentication-tokens"})
    sought |= {"a token": made["attributes"]["token"], "the admin's token": site.token}
    workspace = site.make_workspace("logged")
    with watched_arguments() as arguments:
        site.set_variable(workspace, "word", sought["the variable"], "terraform")
        site.set_variable(workspace, "CLOUD_KEY", sought["the key"], "env")
        sent_wrongly(site, workspace, sought)
        files = {"main.tf": FILES % {"made": sought["the state"], "gate": GATE}}
        applied = site.start(workspace, files, auto_apply=True)
        sought["the run's token"] = run_token(site)
        site.open_gate()
        assert applied.ends() == "applied"
        failed = site.start(workspace, files | {"fails.auto.tfvars": "fails = true\n"}, auto_apply=True)
        assert failed.ends() == "errored"
    assert site.up.stop() == 0
    said = site.up.said()
    assert found_in(said.encode(), sought) == []
    assert any(b"terraform" in line for line in arguments), "the sandboxes were seen"
    assert found_in(b"\n".join(arguments), sought) == []
    lines = [read_json(line) for line in said.splitlines()] if form == "json" else text_lines(said)
    for run, status in ((applied, "applied"), (failed, "errored")):
        tells_of(run, status, lines)
    for line in lines:
        assert "run" in line or not ({"job", "phase"} & line.keys()), line
        assert "run" in line or not re.search("run-[A-Za-z0-9]{16}", str(line)), line


def read_json(text: str) -> dict[str, Any]:
    line = json.loads(text)
    assert {"event", "level", "timestamp"} <= line.keys(), text
    return dict(line)


def text_lines(said: str) -> list[dict[str, Any]]:
    """Each line by its fields; the manager's own begin with its name, and what goes on below one is indented."""
    lines = [line for line in said.replace("\n  ", " ").splitlines() if not line.startswith("stateroom: ")]
    assert [line for line in lines if not TIME.match(line)] == []
    return [{"event": line} | dict(re.findall(r"(\w+)=('[^']*'|\S+)", line)) for line in lines]


def tells_of(run: OneRun, status: str, lines: list[dict[str, Any]]) -> None:
    """The log has the run's phases, moves and requests, found by its id alone."""
    own = [line for line in lines if line.get("run") == run.id]
    for event in ("a phase begins", "a phase is over", "run moved", "request"):
        assert any(event in line["event"] for line in own), (event, own)
    assert [line["status"] for line in own if "run moved" in line["event"]][-1] == status

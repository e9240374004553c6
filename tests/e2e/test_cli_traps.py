"""What would trap the stock CLI, looked at on the wire, where a real run has been."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import ssl
import tarfile
import urllib.error
import urllib.request
from typing import Any

import pytest

from tests.e2e.configuration import Configuration
from tests.e2e.up import LONG, Up

RESOURCES = """
resource "terraform_data" "one" { input = "Grüße → 世界" }
output "said" { value = terraform_data.one.output }
output "secret" {
  value     = "hush-hush"
  sensitive = true
}
"""
MANY_OUTPUTS = "\n".join(f'output "o{number}" {{ value = {number} }}' for number in range(120))
STX, ETX = b"\x02", b"\x03"


@pytest.fixture(scope="module")
def applied(server: Up, tmp_path_factory: pytest.TempPathFactory) -> Configuration:
    """A workspace of which one run has been applied."""
    configuration = Configuration(server, tmp_path_factory.mktemp("traps") / "configuration")
    configuration.cloud(resources=RESOURCES + MANY_OUTPUTS).init()
    configuration.apply()
    return configuration


def fetch(server: Up, url: str, **headers: str) -> tuple[dict[str, str], bytes]:
    """A plain request without a token."""
    trusted = ssl.create_default_context(cafile=str(server.data / "ca.pem"))
    request = urllib.request.Request(url, headers=headers)
    with urllib.request.urlopen(request, timeout=LONG, context=trusted) as answer:
        assert answer.status == 200
        return {name.lower(): value for name, value in answer.headers.items()}, answer.read()


def phase(configuration: Configuration, name: str) -> dict[str, Any]:
    """What the API says of the only run's *plan* or *apply*."""
    identifier = configuration.runs()[-1]["relationships"][name]["data"]["id"]
    path = {"plan": "plans", "apply": "applies"}[name]
    attributes: dict[str, Any] = configuration.call("GET", f"/api/v2/{path}/{identifier}")["data"]["attributes"]
    return attributes


def log(configuration: Configuration, name: str, offset: int = 0, limit: int = 65536, **headers: str) -> bytes:
    url = f"{phase(configuration, name)['log-read-url']}?limit={limit}&offset={offset}"
    return fetch(configuration.server, url, **headers)[1]


def test_t02_a_new_run_has_all_its_relations_and_actions(configuration: Configuration) -> None:
    configuration.cloud().init()
    configuration.lock()
    workspace = configuration.workspace()["id"]
    version = configuration.call("POST", f"/api/v2/workspaces/{workspace}/configuration-versions", VERSION)["data"]
    upload(configuration, version["attributes"]["upload-url"], empty_archive())
    relations = {
        "workspace": {"data": {"type": "workspaces", "id": workspace}},
        "configuration-version": {"data": {"type": "configuration-versions", "id": version["id"]}},
    }
    run = configuration.call("POST", "/api/v2/runs", {"data": {"type": "runs", "relationships": relations}})["data"]
    assert run["attributes"]["status"] == "pending"
    for relation in ("plan", "apply", "workspace"):
        assert run["relationships"][relation]["data"]["id"]
    assert set(run["attributes"]["actions"]) >= {"is-cancelable", "is-confirmable", "is-discardable"}
    assert run["attributes"]["permissions"]["can-apply"] is True
    configuration.call("POST", f"/api/v2/runs/{run['id']}/actions/cancel", {})


def test_t08_run_events_are_a_list(applied: Configuration) -> None:
    assert isinstance(applied.call("GET", f"/api/v2/runs/{applied.runs()[0]['id']}/run-events")["data"], list)


def test_t10_a_new_state_version_has_both_upload_urls(configuration: Configuration) -> None:
    configuration.cloud().init()
    configuration.lock()
    created = create_state(configuration)["attributes"]
    assert created["hosted-state-upload-url"].startswith("https://")
    assert created["hosted-json-state-upload-url"].startswith("https://")


def test_t43_an_unlock_waits_for_a_state_no_longer_than_it_is_on_its_way(configuration: Configuration) -> None:
    configuration.cloud().init()
    configuration.lock()
    url = create_state(configuration)["attributes"]["hosted-state-upload-url"]
    with pytest.raises(urllib.error.HTTPError, match="503"):
        configuration.unlock()
    upload(configuration, url, STATE)
    configuration.unlock()
    assert configuration.workspace()["attributes"]["locked"] is False


def test_t43_a_state_that_never_comes_is_given_up_by_force(configuration: Configuration) -> None:
    configuration.cloud().init()
    configuration.lock()
    create_state(configuration)
    configuration.must("force-unlock", "-force", f"main/{configuration.name}")
    assert configuration.workspace()["attributes"]["locked"] is False


def test_t09_a_state_may_be_sent_inline(configuration: Configuration) -> None:
    configuration.cloud().init()
    configuration.lock()
    created = create_state(configuration, state=base64.b64encode(STATE).decode())
    assert created["attributes"]["status"] == "finalized"
    assert configuration.state()["serial"] == 3


def test_t11_a_log_is_read_by_its_path_alone(applied: Configuration) -> None:
    url = phase(applied, "plan")["log-read-url"]
    assert "?" not in url
    whole = fetch(applied.server, f"{url}?limit=65536&offset=0")[1]
    assert b"# terraform_data.one" in whole


@pytest.mark.parametrize("offset", [10**6, 10**12])
def test_t12_past_the_end_of_a_log_is_an_empty_200(applied: Configuration, offset: int) -> None:
    assert log(applied, "plan", offset) == b""


@pytest.mark.parametrize("name", ["plan", "apply"])
def test_t13_an_ended_log_ends_in_etx_and_its_phase_is_finished(applied: Configuration, name: str) -> None:
    whole = log(applied, name)
    assert whole.startswith(STX)
    assert whole.endswith(ETX)
    assert whole.count(ETX) == 1
    assert phase(applied, name)["status"] == "finished"


def test_t14_offsets_count_bytes_and_frames(applied: Configuration) -> None:
    whole = log(applied, "plan")
    assert len(whole) > len(whole.decode())
    read = b""
    while len(read) < len(whole):
        piece = log(applied, "plan", len(read), limit=259)
        assert 0 < len(piece) <= 259
        read += piece
    assert read == whole


def test_t15_the_included_workspace_tells_that_the_log_is_text(applied: Configuration) -> None:
    run = applied.call("GET", f"/api/v2/runs/{applied.runs()[0]['id']}?include=workspace%2Cplan")
    [workspace] = [each for each in run["included"] if each["type"] == "workspaces"]
    assert workspace["attributes"]["structured-run-output-enabled"] is False
    assert b'{"@level"' not in log(applied, "plan")


def test_t17_a_run_without_an_estimate_says_null(applied: Configuration) -> None:
    relations = applied.runs()[0]["relationships"]
    assert relations.get("cost-estimate", {"data": None}) == {"data": None}
    assert relations["policy-checks"]["data"] == []
    assert relations["task-stages"]["data"] == []


def test_t20_a_plan_whose_log_has_ended_can_be_confirmed(configuration: Configuration) -> None:
    configuration.cloud().init()
    terminal = configuration.at_terminal("apply")
    terminal.wait_for("Waiting for the plan to start...")
    read = b""
    while not read.endswith(ETX):
        read += log(configuration, "plan", len(read))
    assert configuration.runs()[0]["attributes"]["actions"]["is-confirmable"] is True
    terminal.answer("no")
    assert terminal.ends() == 1


def test_t21_a_configuration_is_uploaded_when_its_upload_is_answered(configuration: Configuration) -> None:
    configuration.cloud().init()
    path = f"/api/v2/workspaces/{configuration.workspace()['id']}/configuration-versions"
    version = configuration.call("POST", path, VERSION)["data"]
    upload(configuration, version["attributes"]["upload-url"], empty_archive())
    found = configuration.call("GET", f"/api/v2/configuration-versions/{version['id']}")["data"]
    assert found["attributes"]["status"] == "uploaded"


def test_t26_all_outputs_come_in_one_answer(applied: Configuration) -> None:
    path = f"/api/v2/workspaces/{applied.workspace()['id']}/current-state-version-outputs"
    assert len(applied.call("GET", path)["data"]) == 122


def test_t27_without_a_state_the_outputs_are_an_empty_list(configuration: Configuration) -> None:
    configuration.cloud().init()
    path = f"/api/v2/workspaces/{configuration.workspace()['id']}/current-state-version-outputs"
    assert configuration.call("GET", path)["data"] == []
    assert "No outputs found" in configuration.must("output", "-no-color")


def test_t37_the_log_of_an_apply_begins_with_three_lines_to_drop(applied: Configuration) -> None:
    first, second, third, *_ = log(applied, "apply").lstrip(STX).decode().split("\n")
    assert first.startswith("Terraform v")
    assert second.startswith("on ")
    assert third == "Initializing plugins and modules..."


def test_t39_a_log_is_not_compressed(applied: Configuration) -> None:
    url = f"{phase(applied, 'plan')['log-read-url']}?limit=65536&offset=0"
    headers, body = fetch(applied.server, url, **{"Accept-Encoding": "gzip"})
    assert "content-encoding" not in headers
    assert int(headers["content-length"]) == len(body)


def test_t44_a_state_is_downloaded_with_anybodys_bearer(applied: Configuration) -> None:
    path = f"/api/v2/workspaces/{applied.workspace()['id']}/current-state-version"
    url = applied.call("GET", path)["data"]["attributes"]["hosted-state-download-url"]
    _, state = fetch(applied.server, url, Authorization="Bearer of-another-server")
    assert json.loads(state)["outputs"]["said"]["value"] == "Grüße → 世界"


VERSION = {"data": {"type": "configuration-versions", "attributes": {"auto-queue-runs": False}}}
STATE = json.dumps(
    {"version": 4, "terraform_version": "1.11.4", "serial": 3, "lineage": "l-1", "outputs": {}, "resources": []}
).encode()


def create_state(configuration: Configuration, **attributes: Any) -> dict[str, Any]:
    digest = hashlib.md5(STATE, usedforsecurity=False).hexdigest()
    given = {"serial": 3, "lineage": "l-1", "md5": digest, "force": False, **attributes}
    path = f"/api/v2/workspaces/{configuration.workspace()['id']}/state-versions"
    created: dict[str, Any] = configuration.call(
        "POST", path, {"data": {"type": "state-versions", "attributes": given}}
    )["data"]
    return created


def upload(configuration: Configuration, url: str, content: bytes) -> None:
    trusted = ssl.create_default_context(cafile=str(configuration.server.data / "ca.pem"))
    request = urllib.request.Request(url, method="PUT", data=content)
    with urllib.request.urlopen(request, timeout=LONG, context=trusted) as answer:
        assert answer.status == 200


def empty_archive() -> bytes:
    """What `plan -destroy` sends where there is no configuration."""
    archive = io.BytesIO()
    tarfile.open(fileobj=archive, mode="w:gz").close()
    return archive.getvalue()

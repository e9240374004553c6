"""Providers: those a configuration brings along, those of the mirror, and what the lock file holds them to."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import pytest

from app.execution.cli_config import this_platform
from tests.clients.packages import NULL_PROVIDER
from tests.e2e.site import OneRun, Site, plain
from tests.e2e.up import Up
from tests.providers import installing
from tests.providers.rehearsal import SECRET

NULL = """
terraform {
  required_providers {
    null = { source = "%s" }
  }
}
resource "null_resource" "one" {}
"""

REHEARSAL = """
terraform {
  required_providers {
    rehearsal = { source = "registry.example.com/acme/rehearsal" }
  }
}
variable "password" {
  type      = string
  sensitive = true
  default   = "given-to-the-provider"
}
resource "rehearsal_step" "first" {
  name     = "first"
  password = var.password
}
resource "rehearsal_step" "second" {
  depends_on = [rehearsal_step.first]
  name       = "second"
  %s
}
"""


@pytest.fixture
def site(server: Up) -> Site:
    return Site(server)


@pytest.fixture
def workspace(site: Site) -> str:
    return site.make_workspace(f"providers-{uuid.uuid4().hex[:8]}")


@pytest.fixture
def mirror(server: Up) -> Path:
    return server.data / "mirror"


def log(run: OneRun, phase: str) -> str:
    return plain(run.follow(phase).whole()).decode()


def planned(run: OneRun) -> OneRun:
    said = log(run, "plan")
    assert run.status == "planned", said
    return run


@pytest.mark.parametrize(
    "folder",
    [
        f"terraform.d/plugins/{this_platform()}",
        "terraform.d/plugins",
        f"terraform.d/plugins/{installing.NULL}/{installing.NULL_VERSION}/{this_platform()}",
    ],
    ids=["old", "old, any platform", "new"],
)
def test_a_provider_in_the_upload_plans_and_applies(site: Site, workspace: str, folder: str) -> None:
    program = NULL_PROVIDER.file()
    files: dict[str, str | bytes] = {"main.tf": NULL % "hashicorp/null"}
    files[f"{folder}/{program.name}"] = program.read_bytes()
    run = site.start(workspace, files, auto_apply=True)
    for phase in ("plan", "apply"):
        assert "Installed hashicorp/null v2.1.2" in log(run, phase)
    assert run.ends() == "applied", log(run, "apply")
    assert site.resources(workspace) == ["one"]


def test_a_provider_of_the_mirror_keeps_its_secrets(site: Site, workspace: str, mirror: Path) -> None:
    installing.put_rehearsal_into(mirror)
    run = planned(site.start(workspace, {"main.tf": REHEARSAL % ""}))
    plan = site.call("GET", f"/runs/{run.id}")["relationships"]["plan"]["data"]["id"]
    headers = {"authorization": f"Bearer {site.token}"}
    redacted = site.http.get(f"/api/v2/plans/{plan}/json-output-redacted", headers=headers).json()
    run.confirm()
    assert run.ends() == "applied", log(run, "apply")
    told = [log(run, "plan"), log(run, "apply"), json.dumps(redacted)]
    for text in told:
        assert "given-to-the-provider" not in text
        assert SECRET not in text
    for text in told[:2]:
        assert "Initializing provider plugins" in text
        assert "registry.example.com/acme/rehearsal v1.0.0" in text
    assert "registry.example.com/acme/rehearsal" in redacted["provider_schemas"]
    assert site.resources(workspace) == ["first", "second"]


def test_what_a_failing_provider_finished_is_in_the_state(site: Site, workspace: str, mirror: Path) -> None:
    installing.put_rehearsal_into(mirror)
    run = planned(site.start(workspace, {"main.tf": REHEARSAL % 'fails = "the quota is used up"'}))
    run.confirm()
    assert run.ends() == "errored"
    assert "the quota is used up" in log(run, "apply")
    assert site.resources(workspace) == ["first"]


def test_a_cancel_does_not_wait_for_a_slow_provider(site: Site, workspace: str, mirror: Path) -> None:
    installing.put_rehearsal_into(mirror)
    run = planned(site.start(workspace, {"main.tf": REHEARSAL % "seconds = 3600"}))
    run.confirm()
    run.follow("apply").until("rehearsal_step.second: Creating...")
    site.call("POST", f"/runs/{run.id}/actions/cancel")
    assert run.ends() == "canceled", log(run, "apply")
    assert "first" in site.resources(workspace)
    assert site.is_locked(workspace) is False


def test_the_apply_takes_what_the_plan_locked_and_nothing_newer(site: Site, workspace: str, mirror: Path) -> None:
    provider = f"registry.example.com/a{uuid.uuid4().hex[:8]}/null"
    installing.put_null_into(mirror, provider)
    run = planned(site.start(workspace, {"main.tf": NULL % provider}))
    newer = installing.place_in(mirror, provider, "2.2.0")
    (newer / "terraform-provider-null_v2.2.0").symlink_to("/bin/false")
    run.confirm()
    assert run.ends() == "applied", log(run, "apply")
    said = log(run, "apply")
    assert f"Reusing previous version of {provider} from the dependency lock file" in said
    assert f"{provider} v2.1.2" in said


def test_an_apply_refuses_a_provider_that_changed_since_its_plan(site: Site, workspace: str, mirror: Path) -> None:
    provider = f"registry.example.com/a{uuid.uuid4().hex[:8]}/null"
    place = installing.put_null_into(mirror, provider)
    run = planned(site.start(workspace, {"main.tf": NULL % provider}))
    (place / "something").write_text("is other than it was")
    run.confirm()
    assert run.ends() == "errored"
    assert "doesn't match any of the checksums" in " ".join(log(run, "apply").replace("│", "").split())
    headers = {"authorization": f"Bearer {site.token}"}
    answer = site.http.get(f"/api/v2/workspaces/{workspace}/current-state-version", headers=headers)
    assert answer.status_code == 404, answer.text

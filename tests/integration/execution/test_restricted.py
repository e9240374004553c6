"""A stranger's pull request that was let plan, and everything it tries: each is refused, its own plan is not."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from hashlib import md5
from typing import Any

import pytest

from app import states
from app.access.actors import SYSTEM
from app.execution.cli_config import this_platform
from app.settings import Settings
from app.states.actions import NewState
from app.states.models import StateVersion
from app.workspaces.models import Workspace
from tests import factories
from tests.integration.execution.conftest import Crew, rested, start, whole_log

#: Runs where a provider would, with all a provider has; what it finds terraform shows as what no provider says.
ATTACK = r"""#!/usr/bin/python3 -I
import glob, json, os, re, urllib.error, urllib.request

def ask(method, url, body=None, token=None):
    request = urllib.request.Request(url, data=body, method=method)
    if token:
        request.add_header("Authorization", "Bearer " + token)
        request.add_header("Content-Type", "application/vnd.api+json")
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError as error:
        return type(error).__name__

with open("targets.json") as file:
    targets = json.load(file)
with open(os.environ["TF_CLI_CONFIG_FILE"]) as file:
    token = re.search(r'token *= *"([^"]+)"', file.read()).group(1)
files = [name for place in (".", "..") for name in glob.glob(f"{place}/*.tfvars*")]
read = "".join(open(name, errors="replace").read() for name in files)
api = "http://stateroom.internal/api/v2"
found = {
    "secrets": sorted(word for word in targets["secrets"] if word in read or word in json.dumps(dict(os.environ))),
    "plain": os.environ.get("PLAIN"),
    "own": ask("GET", f"{api}/workspaces/{targets['own']}", token=token),
    "own state": ask("GET", f"{api}/workspaces/{targets['own']}/current-state-version", token=token),
    "other": ask("GET", f"{api}/workspaces/{targets['other']}", token=token),
    "other state": ask("GET", f"{api}/workspaces/{targets['other']}/current-state-version", token=token),
    "other version": ask("GET", f"{api}/state-versions/{targets['version']}", token=token),
    "lock": ask("POST", f"{api}/workspaces/{targets['own']}/actions/lock", b"{}", token),
    "write": ask("POST", f"{api}/workspaces/{targets['own']}/state-versions", b"{}", token),
    "public": ask("GET", "http://registry.terraform.io/"),
    "allowed": ask("GET", targets["allowed"]),
}
print("FOUND " + json.dumps(found) + " END", flush=True)
"""

EVIL = """
terraform {
  required_providers {
    evil = { source = "registry.example.com/evil/evil" }
  }
}
resource "evil_thing" "one" {}
variable "password" { default = "none" }
"""


async def make_state(workspace: Workspace) -> StateVersion:
    content = json.dumps(
        {"version": 4, "terraform_version": "1.11.4", "serial": 1, "lineage": "l", "outputs": {}, "resources": []}
    ).encode()
    version = await states.create(SYSTEM, workspace, NewState(1, md5(content).hexdigest(), "l"))
    await states.receive(version.id, factories.chunks(content))
    return version


async def attacked(home: Workspace, targets: Mapping[str, object], **options: object) -> dict[str, Any]:
    """What the attack found, in a plan made with *options*."""
    program = (
        f"terraform.d/plugins/registry.example.com/evil/evil/1.0.0/{this_platform()}/terraform-provider-evil_v1.0.0"
    )
    files: dict[str, Any] = {
        "main.tf": EVIL,
        "targets.json": json.dumps(targets),
        program: ATTACK.encode(),
    }
    run = await rested(await start(files, home, plan_only=True, **options))
    log = await whole_log(run)
    assert run.status == "errored", log
    told = " ".join(line.lstrip("│╷╵ ") for line in re.sub(r"\x1b\[[0-9;]*m", "", log).splitlines())
    assert "FOUND" in told, log
    found: dict[str, Any] = json.loads(told.partition("FOUND ")[2].partition(" END")[0])
    return found


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """A site where ordinary runs may reach an address of its own, the server's."""
    return settings.model_copy(update={"egress_allow": ("127.0.0.1",)})


async def test_what_a_stranger_may_plan_reaches_no_secret_no_other_state_and_no_network(
    crew: Crew, opened: Settings
) -> None:
    home = await factories.make_workspace(terraform_version="1.11.4")
    other = await factories.make_workspace(organization=await home.organization, global_remote_state=True)
    await make_state(home)
    version = await make_state(other)
    secret, hidden = "a-password-of-ours", "a-cloud-key-of-ours"
    await factories.make_variable(home, "password", secret, sensitive=True)
    await factories.make_variable(home, "AWS_SECRET_ACCESS_KEY", hidden, category="env", sensitive=True)
    await factories.make_variable(home, "PLAIN", "for everybody", category="env")
    targets = {
        "own": home.id,
        "other": other.id,
        "version": version.id,
        "secrets": [secret, hidden],
        "allowed": f"{opened.internal_url}/health/live",
    }

    ours = await attacked(home, targets)
    assert ours["plain"] == "for everybody"
    assert len(ours["secrets"]) == 2, "it was there, though the log masks it"
    assert (ours["other"], ours["other state"], ours["lock"]) == (200, 200, 200)
    assert ours["allowed"] == 200

    theirs = await attacked(home, targets, restricted_by=SYSTEM)
    assert theirs == {
        "secrets": [],
        "plain": "for everybody",
        "own": 200,
        "own state": 200,
        "other": 404,
        "other state": 404,
        "other version": 404,
        "lock": 403,
        "write": 403,
        "public": 403,
        "allowed": 403,
    }

"""`stateroom doctor --state` on an installation that lies in files."""

from __future__ import annotations

import json
from hashlib import md5
from pathlib import Path

import pytest

from app import states
from app.access.actors import SYSTEM
from app.settings import Settings
from app.states import NewState
from app.states.models import StateVersion
from app.storage.models import StoredObject
from app.workspaces.models import Workspace
from tests import factories
from tests.integration.cli.commands import stateroom
from tests.services import Parts


async def push(workspace: Workspace, serial: int) -> StateVersion:
    content = json.dumps({"version": 4, "serial": serial, "lineage": "l"}).encode()
    version = await states.create(SYSTEM, workspace, NewState(serial, md5(content).hexdigest(), "l"))
    await states.receive(version.id, factories.chunks(content))
    return version


async def test_the_first_version_that_does_not_fit_is_named(opened: Settings, parts: Parts, tmp_path: Path) -> None:
    organization = await factories.make_organization("acme")
    good, bad = [await factories.make_workspace(organization, name) for name in ("good", "bad")]
    await push(good, 1)
    versions = [await push(bad, serial) for serial in (1, 2, 3)]
    asked = ("doctor", "--state", "--data", str(tmp_path))
    assert stateroom(*asked, **parts.environment).returncode == 0

    content = await StoredObject.get(id=(await StateVersion.get(id=versions[1].id)).content_id)
    await StoredObject.filter(id=content.id).update(wrapped_key=b"x" * 72)
    ended = stateroom(*asked, **parts.environment)
    assert (ended.returncode, ended.stderr) == (1, "")
    assert f"FAIL  acme/bad  3 state versions\n      {versions[1].id}: The key of a stored object" in ended.stdout
    assert "ok    acme/good  1 state version\n" in ended.stdout

    one = stateroom(*asked, "--json", "acme/bad", **parts.environment)
    [found] = json.loads(one.stdout)
    assert (found["workspace"], found["id"], found["misfit"]) == ("acme/bad", bad.id, versions[1].id)
    assert one.returncode == 1
    assert stateroom(*asked, good.id, **parts.environment).returncode == 0


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_a_workspace_that_is_not_there_is_named(opened: Settings, parts: Parts, tmp_path: Path) -> None:
    ended = stateroom("doctor", "--state", "--data", str(tmp_path), "acme/none", **parts.environment)
    assert (ended.returncode, "There is no workspace acme/none." in ended.stderr) == (1, True)
    assert stateroom("doctor", "--data", str(tmp_path), "acme/none", **parts.environment).returncode == 2

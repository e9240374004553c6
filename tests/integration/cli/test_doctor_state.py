"""`stateroom doctor --state` on an installation that lies in files."""

from __future__ import annotations

import json
import os
from hashlib import md5
from pathlib import Path

import pytest

from app import states
from app.access.actors import SYSTEM
from app.settings import Settings
from app.states import NewState
from app.states.models import StateVersion
from app.storage import objects
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


def made_unreadable(directory: Path, name: str) -> Path:
    """The object's file, a directory now."""
    [file] = directory.rglob(name)
    file.unlink()
    file.mkdir()
    return file


async def test_an_object_that_no_row_names_is_told_and_kept(opened: Settings, parts: Parts, tmp_path: Path) -> None:
    workspace = await factories.make_workspace()
    await push(workspace, 1)
    lost = await objects.put("state", workspace.organization_id, b"a state whose row never came")
    asked = ("doctor", "--objects", "--data", str(tmp_path))
    assert (
        stateroom(*asked, **parts.environment).stdout == "ok    Every object older than two days is named by a row.\n"
    )
    if parts.name != "embedded":
        return  # nobody makes an object of S3 older than it is
    for path in (tmp_path / "objects").rglob("obj-*"):
        os.utime(path, (0, 0))
    ended = stateroom(*asked, "--json", **parts.environment)
    assert [one["name"].rpartition("/")[2] for one in json.loads(ended.stdout)] == [lost.id]
    assert stateroom(*asked, **parts.environment).stdout.startswith("note  1 object (")
    assert list((tmp_path / "objects").rglob(lost.id))


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_a_directory_of_objects_that_is_gone_is_no_new_one(
    opened: Settings, parts: Parts, tmp_path: Path
) -> None:
    await push(await factories.make_workspace(), 1)
    (tmp_path / "objects").rename(tmp_path / "away")
    ended = stateroom("doctor", "--json", "--data", str(tmp_path), **parts.environment)
    [found] = [one for one in json.loads(ended.stdout) if one["subject"] == "objects"]
    assert (found["verdict"], "no .stateroom in it" in found["text"]) == ("failed", True)
    assert not (tmp_path / "objects").exists()


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


async def test_each_kind_of_damage_is_told_with_its_workspace_and_a_remedy(
    opened: Settings, parts: Parts, tmp_path: Path
) -> None:
    organization = await factories.make_organization("acme")
    lost, cut, forged, whole = [
        (await push(await factories.make_workspace(organization, name), 1)).id
        for name in ("lost", "cut", "forged", "whole")
    ]

    async def content(version: str) -> StoredObject:
        return await StoredObject.get(id=(await StateVersion.get(id=version)).content_id)

    objects.connect(opened)
    try:
        await objects.delete_bytes(await content(lost))
        damaged = await content(cut)
        await objects._opened().put(f"state/{organization.id}/{damaged.id}", factories.chunks(b"half of"))
    finally:
        objects.close()
    await StateVersion.filter(id=forged).update(serial=2)
    said = stateroom("doctor", "--state", "--data", str(tmp_path), **parts.environment)
    assert (said.returncode, said.stderr) == (1, "")
    found = said.stdout.split("FAIL")
    assert [one.split()[0] for one in found[1:]] == ["acme/cut", "acme/forged", "acme/lost"]
    for one, version, why in zip(
        found[1:],
        (cut, forged, lost),
        ("is damaged", "is not what was recorded", "is not in the object store"),
        strict=True,
    ):
        assert version in one
        assert why in one
        assert "→ Restore database and objects from a backup" in one
    assert whole not in said.stdout
    assert said.stdout.endswith("4 state versions of 4 workspaces checked: 3 with one that does not fit.\n")


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_an_object_that_cannot_be_read_keeps_no_other_from_being_checked(
    opened: Settings, parts: Parts, tmp_path: Path
) -> None:
    organization = await factories.make_organization("acme")
    bad, good = [await factories.make_workspace(organization, name) for name in ("bad", "good")]
    version, _ = await push(bad, 1), await push(good, 1)
    content = (await StateVersion.get(id=version.id)).content_id
    file = made_unreadable(tmp_path, str(content))
    said = stateroom("doctor", "--state", "--data", str(tmp_path), **parts.environment)
    assert (said.returncode, said.stderr) == (1, "")
    assert f"{version.id}: The object {file} cannot be read: Is a directory." in said.stdout
    assert "ok    acme/good" in said.stdout


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_a_workspace_that_is_not_there_is_named(opened: Settings, parts: Parts, tmp_path: Path) -> None:
    ended = stateroom("doctor", "--state", "--data", str(tmp_path), "acme/none", **parts.environment)
    assert (ended.returncode, "There is no workspace acme/none." in ended.stderr) == (1, True)
    assert stateroom("doctor", "--data", str(tmp_path), "acme/none", **parts.environment).returncode == 2

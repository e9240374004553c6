"""Versions that are not on the worker: official releases from a mirror, and bundles, each verified before its use."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pysequoia
import pytest

from app import clock, runs, tool_versions
from app import settings as settings_module
from app.access.actors import SYSTEM
from app.errors import Invalid
from app.execution import downloads, toolbox
from app.execution.downloads import CannotInstall
from app.execution.shelf import Shelf
from app.jobs import workers
from app.runs import lifecycle
from app.runs.models import Run
from app.settings import Settings
from app.tool_versions import Architecture
from app.tool_versions.models import ReleaseIndex, ToolVersion
from tests import factories
from tests.integration.execution.conftest import Crew, rested, start, whole_log, working
from tests.services.releases import ARCHITECTURE, PLATFORM, Mirror, packed, terraform

FILES = {"main.tf": 'resource "terraform_data" "one" { input = "one" }\n'}
WITH_PROVIDER = {
    "main.tf": 'terraform {\n  required_providers { fake = { source = "acme/fake" } }\n}\noutput "a" { value = 1 }\n'
}


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[Mirror]:
    mirror = Mirror(tmp_path)
    yield mirror
    mirror.close()


@pytest.fixture
def settings(settings: Settings, mirror: Mirror) -> Settings:
    changes = {"terraform_releases_url": mirror.url, "release_keys": mirror.keys, "tls_ca": mirror.ca}
    settings_module._current = settings.model_copy(update={**changes, "mirror_only": True})
    return settings_module._current


async def log_of(run: Run, phase: str = "plan") -> str:
    return await whole_log(run, phase)


async def bundle(mirror: Mirror, content: bytes, version: str = "1.11.4-acme", sha: str | None = None) -> ToolVersion:
    mirror.files["/bundle.zip"] = content
    place = Architecture(
        f"{mirror.url}/bundle.zip?signed=secret",
        sha or hashlib.sha256(content).hexdigest(),
        arch=ARCHITECTURE,
    )
    return await tool_versions.create(SYSTEM, version=version, archs=[place])


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_a_release_that_only_the_mirror_has_plans_and_applies(mirror: Mirror, opened: Settings) -> None:
    mirror.publish("1.9.8")
    async with working(opened) as crew:
        await offered(crew)
        run = await planned(crew, "1.9.8")
        assert run.status == lifecycle.PLANNED, await log_of(run)
        lines = (await log_of(run)).splitlines()
        assert lines[0].lstrip("\x02") == "Terraform v1.9.8"
        assert "Downloading Terraform 1.9.8..." in lines[3:5]  # after the header, and why it waited if it did
        assert "\n".join(lines).count("Initializing plugins and modules...") == 1
        assert mirror.asked.count(mirror.archive("1.9.8")) == 1
        again = await planned(crew, "1.9.8")
        assert "Downloading" not in await log_of(again)
    mirror.files.clear()
    async with working(opened) as crew:  # a new start needs no mirror
        assert (await planned(crew, "1.9.8")).status == lifecycle.PLANNED


async def offered(crew: Crew) -> None:
    settings = crew.station.settings
    await workers.register(crew.station.worker_id, "test", 2, crew.station.releases, downloads=True)
    await toolbox.read_indexes(settings)


async def planned(crew: Crew, version: str, files: dict[str, str] = FILES) -> Run:
    workspace = await factories.make_workspace(terraform_version=version)
    run = await start(files, workspace)
    await crew.station.toolbox.look_around()
    crew.ring()
    return await rested(run)


SPOILED = {
    "a zip that was changed": "has the SHA-256",
    "no signature": "are not signed",
    "another's signature": "does not hold under any key this server trusts",
    "a list that was changed": "does not hold under any key this server trusts",
    "the list of another version": "names no terraform_1.9.8_",
    "a signature that is none": "cannot be read",
    "no zip": "There is nothing at",
    "a zip without terraform": "has no terraform at its top",
    "a key that has expired": "which expired on",
}


def spoil(mirror: Mirror, how: str) -> None:
    version = "1.9.8"
    archive, sums = mirror.archive(version), mirror.sums(version)
    match how:
        case "a zip that was changed":
            mirror.files[archive] += b"x"
        case "no signature":
            del mirror.files[sums + ".sig"]
        case "another's signature":
            mirror.sign(version, pysequoia.Tsk.generate("Mallory <m@example.com>"))
        case "a list that was changed":
            mirror.files[sums] += b"\n"
        case "the list of another version":
            mirror.publish("1.9.7", b"")
            for end in ("", ".sig"):
                mirror.files[sums + end] = mirror.files[mirror.sums("1.9.7") + end]
        case "a signature that is none":
            mirror.files[sums + ".sig"] = b"ok"
        case "no zip":
            del mirror.files[archive]
        case "a zip without terraform":
            mirror.publish(version, packed({"tofu": b"\x7fELF"}))


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
@pytest.mark.parametrize("how", SPOILED)
async def test_a_release_that_is_not_what_its_publisher_signed_is_refused(
    mirror: Mirror, settings: Settings, how: str, tmp_path: Path
) -> None:
    mirror.publish("1.9.8", packed({"terraform": b"\x7fELF"}))
    if how == "a key that has expired":
        mirror.key = pysequoia.Tsk.generate("Old <old@example.com>", validity_seconds=3600)
        mirror.keys.write_text(str(mirror.key.extract_certificate()))
        mirror.sign("1.9.8")
    spoil(mirror, how)
    shelf = Shelf(tmp_path / "shelf")
    with clock.using(Later() if "expired" in how else clock.SystemClock()):
        with pytest.raises(CannotInstall, match=SPOILED[how]) as refused:
            await downloads.release("terraform", "1.9.8", settings, shelf, lambda: True)
        assert refused.value.sentence.startswith("Terraform 1.9.8 was not installed. ")
    assert [path for path in shelf.directory.rglob("*") if path.is_file() or path.is_symlink()] == []


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_opentofu_is_downloaded_once_its_key_is_there(mirror: Mirror, opened: Settings) -> None:
    mirror.publish_opentofu("1.9.0", packed({"tofu": b"\x7fELF"}))
    addresses = {"opentofu_index_url": f"{mirror.url}/tofu/api.json", "opentofu_releases_url": f"{mirror.url}/tofu"}
    await toolbox.read_indexes(opened.model_copy(update={**addresses, "release_keys": None}))
    assert not any(path.startswith("/tofu") for path in mirror.asked)  # no key that could vouch for it
    settings = opened.model_copy(update=addresses)
    await toolbox.read_indexes(settings)
    assert [tool.version for tool in await ToolVersion.filter(engine="opentofu")] == ["1.9.0"]
    found = await downloads.release("opentofu", "1.9.0", settings, Shelf(opened.data_dir / "shelf"), lambda: True)
    assert (found.name, found.path.name) == ("opentofu/1.9.0", "tofu")
    mirror.files["/tofu/v1.9.0/tofu_1.9.0_SHA256SUMS"] += b"\n"
    with pytest.raises(CannotInstall, match="does not hold under any key this server trusts"):
        await downloads.release("opentofu", "1.9.0", settings, Shelf(opened.data_dir / "other"), lambda: True)


class Later(clock.SystemClock):
    def now(self) -> datetime:
        return super().now() + timedelta(days=1)


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_two_who_want_a_version_at_once_download_it_once(mirror: Mirror, opened: Settings) -> None:
    mirror.publish("1.9.8", packed({"terraform": b"\x7fELF"}))
    box = toolbox.Toolbox(opened, {})
    await toolbox.read_indexes(opened)
    said: list[str] = []

    async def say(line: str) -> None:
        said.append(line)

    found = await asyncio.gather(*(box.get("terraform", "1.9.8", say, lambda: True) for _ in range(4)))
    assert {release.path for release in found} == {found[0].path}
    assert mirror.asked.count(mirror.archive("1.9.8")) == 1
    assert said == ["Downloading Terraform 1.9.8..."]


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_a_download_that_is_stopped_leaves_nothing(mirror: Mirror, settings: Settings, tmp_path: Path) -> None:
    mirror.publish("1.9.8", packed({"terraform": b"\x7fELF" * 10_000_000}))
    shelf, asked = Shelf(tmp_path / "shelf"), list[bool]()

    def go_on() -> bool:
        asked.append(True)
        return len(asked) < 3

    with pytest.raises(CannotInstall, match="was stopped"):
        await downloads.release("terraform", "1.9.8", settings, shelf, go_on)
    assert list((shelf.directory / "incoming").iterdir()) == []
    killed = shelf.directory / "incoming" / "left"
    killed.mkdir()
    shelf.clear()
    assert not killed.exists()


async def test_an_index_is_written_down_and_forgets_what_has_gone(mirror: Mirror, opened: Settings) -> None:
    mirror.publish("1.9.8", b"")
    mirror.publish("1.10.0-rc1", b"")
    await toolbox.read_indexes(opened)
    await toolbox.read_indexes(opened)
    assert mirror.asked.count("/terraform/index.json") == 1
    rows = {tool.version: (tool.official, tool.beta) for tool in await ToolVersion.all()}
    assert rows == {"1.9.8": (True, False), "1.10.0-rc1": (True, True)}
    await tool_versions.index.learn("terraform", mirror.url, {"1.9.9": ["amd64"]})
    assert [tool.version for tool in await ToolVersion.all()] == ["1.9.9"]


async def test_an_index_that_cannot_be_read_is_noted(mirror: Mirror, opened: Settings) -> None:
    mirror.files["/terraform/index.json"] = b"[]"
    await toolbox.read_indexes(opened)
    assert "is not an index of releases" in ((await ReleaseIndex.get(engine="terraform")).problem or "")


async def test_a_run_cannot_name_what_is_neither_here_nor_to_be_had(mirror: Mirror, opened: Settings) -> None:
    mirror.publish("1.9.8", b"")
    workspace = await factories.make_workspace(terraform_version="1.5.7")
    async with working(opened) as crew:
        await offered(crew)
        with pytest.raises(Invalid, match=r"There is 1\.11\.4 and 1 official releases"):
            await start(FILES, workspace)
        release = await ToolVersion.get(version="1.9.8")
        await tool_versions.update(SYSTEM, release, enabled=False)
        await type(workspace).filter(id=workspace.id).update(terraform_version="1.9.8")
        await workspace.refresh_from_db()
        with pytest.raises(Invalid, match="has been disabled"):
            await start(FILES, workspace)


async def test_a_run_whose_version_has_gone_ends_with_the_remedy(opened: Settings) -> None:
    run = await start(FILES, await factories.make_workspace(terraform_version="1.0.1"))  # before any worker came
    async with working(opened) as crew:
        await crew.station.toolbox.look_around()
        crew.ring()
        await rested(run)
        assert run.status == lifecycle.ERRORED
        assert "no longer has Terraform 1.0.1, and cannot get it. Put it into" in await log_of(run)


async def test_a_bundle_of_an_old_terraform_that_was_registered_before_is_not_used(opened: Settings) -> None:
    await ToolVersion.create(
        id="tool-old", engine="terraform", version="0.11.14-acme", archs=[], official=False, created_at=clock.now()
    )

    async def say(sentence: str) -> None:
        raise AssertionError(sentence)

    box = toolbox.Toolbox(opened, {})
    with pytest.raises(CannotInstall, match=r"0\.11\.14-acme carries out no runs here: that takes 0\.12\.0 or newer"):
        await box.get("terraform", "0.11.14-acme", say, lambda: True)


async def test_a_bundle_brings_its_providers(mirror: Mirror, opened: Settings) -> None:
    provider = f"plugins/registry.terraform.io/acme/fake/1.0.0/{PLATFORM}/terraform-provider-fake_v1.0.0"
    await bundle(mirror, packed({"terraform": terraform(), provider: b"#!/bin/sh\nexit 1\n"}))
    async with working(allowing(opened)) as crew:
        run = await planned(crew, "1.11.4-acme", WITH_PROVIDER)
        said = await log_of(run)
        assert "Downloading Terraform 1.11.4-acme (a bundle of this site)..." in said
        assert "Installed acme/fake v1.0.0" in said, said
        assert "signed=secret" not in said


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_a_plan_is_not_applied_with_another_bundle_than_it_was_made_with(
    mirror: Mirror, opened: Settings
) -> None:
    tool = await bundle(mirror, packed({"terraform": terraform()}))
    async with working(allowing(opened)) as crew:
        run = await planned(crew, tool.version)
        assert run.status == lifecycle.PLANNED, await log_of(run)
        mirror.files["/other.zip"] = other = packed({"terraform": terraform(), "plugins/README": b"other"})
        place = Architecture(f"{mirror.url}/other.zip", hashlib.sha256(other).hexdigest(), arch=ARCHITECTURE)
        await tool_versions.update(SYSTEM, tool, archs=[place])
        await runs.confirm(SYSTEM, run)
        crew.ring()
        assert (await rested(run)).status == lifecycle.ERRORED
        assert "was not applied: the bundle registered as that Terraform version changed" in await log_of(run, "apply")


async def test_a_bundle_with_another_sum_is_refused_before_it_is_unpacked(mirror: Mirror, opened: Settings) -> None:
    tool = await bundle(mirror, b"no zip at all", sha="0" * 64)
    async with working(allowing(opened)) as crew:
        run = await planned(crew, tool.version)
        assert run.status == lifecycle.ERRORED
        assert "Nothing of it was unpacked" in await log_of(run)
    await tool.refresh_from_db()
    assert tool.problem is not None
    assert f"not {'0' * 64} as it should" in tool.problem


async def test_a_bundle_comes_from_no_address_that_a_run_could_not_reach(mirror: Mirror, opened: Settings) -> None:
    tool = await bundle(mirror, packed({"terraform": b"\x7fELF"}))
    async with working(opened) as crew:
        run = await planned(crew, tool.version)
        assert "is not a public address" in await log_of(run)
    assert mirror.asked == []


def allowing(settings: Settings) -> Settings:
    return settings.model_copy(update={"egress_allow": ("localhost",)})

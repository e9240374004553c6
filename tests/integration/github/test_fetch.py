from __future__ import annotations

import asyncio
import io
import os
import shutil
import subprocess
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app import settings
from app.errors import Conflict, StateroomError
from app.secret import Secret
from app.settings import Settings
from app.storage import objects
from app.storage.models import StoredObject
from app.vcs.models import Repository
from github_app import fetch
from tests import factories
from tests.github.git_host import ALONE, TOKEN, Host, commit, git, serving


class GitHub:
    """As much of GitHub as a fetch asks for."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.asked: list[str] = []

    async def tarball(self, repository: Repository, sha: str) -> AsyncIterator[bytes]:
        self.asked.append("tarball")
        yield await asyncio.to_thread(self._packed, sha)

    def _packed(self, sha: str) -> bytes:
        command = ["git", "-C", str(self.directory), "archive", "--format=tar.gz", "--prefix=acme-net-1/", sha]
        return subprocess.run(command, check=True, capture_output=True, env=ALONE).stdout

    async def fetch_token(self, repository: Repository) -> Secret[str]:
        self.asked.append("token")
        return TOKEN

    async def revoke(self, token: Secret[str]) -> None:
        assert token == TOKEN
        self.asked.append("revoked")


@pytest.fixture
async def host(opened: Settings, tmp_path: Path) -> AsyncIterator[Host]:
    async with serving(Host(tmp_path / "repositories")) as host:
        yield host


async def test_a_commit_is_fetched_once_and_with_git_where_the_archive_lacks_something(host: Host) -> None:
    organization = await factories.make_organization()
    url = f"{host.url}/acme/net"
    repository = await factories.make_repository(organization, clone_url=url)
    directory = host.root / "acme/net"
    github = GitHub(directory)

    plain = commit(directory, {"env/main.tf": "#"})
    files = await fetch.files_of(github, repository, plain, organization.id, submodules=True)
    assert (files.has_directory("env"), files.has_directory("prod")) == (True, False)
    again = await fetch.files_of(github, repository, plain, organization.id, submodules=True)
    assert again.stored.id == files.stored.id
    assert github.asked == ["tarball"]

    github.asked.clear()
    commit(host.root / "acme/modules", {"one/m.tf": "# m"})
    git(directory, "submodule", "add", "-q", str(host.root / "acme/modules"), "modules")
    git(directory, "config", "-f", ".gitmodules", "submodule.modules.url", "../modules")
    sha = commit(directory, {})
    bare = await fetch.files_of(github, repository, sha, organization.id, submodules=False)
    assert not bare.has_directory("modules/one")
    assert github.asked == ["tarball"]
    whole = await fetch.files_of(github, repository, sha, organization.id, submodules=True)
    assert whole.has_directory("modules/one")
    assert github.asked == ["tarball", "tarball", "token", "revoked"]

    github.asked.clear()
    sha = commit(directory, {".gitattributes": "/docs export-ignore", "docs/main.tf": "#"})
    left_out = await fetch.files_of(github, repository, sha, organization.id, submodules=False)
    assert left_out.has_directory("docs")
    assert github.asked == ["tarball", "token", "revoked"]
    assert await StoredObject.filter(kind="configuration").count() == 4


async def test_a_commit_no_run_could_use_says_why_and_leaves_nothing(host: Host) -> None:
    organization = await factories.make_organization()
    repository = await factories.make_repository(organization, clone_url=f"{host.url}/acme/net")
    directory = host.root / "acme/net"
    directory.mkdir(parents=True)
    (directory / "out").symlink_to("/etc/passwd")
    sha = commit(directory, {"main.tf": "#"})
    with pytest.raises(Conflict, match=f'acme/net at {sha[:7]} cannot be used. .*"out".*absolute'):
        await fetch.files_of(GitHub(directory), repository, sha, organization.id, submodules=False)
    assert await StoredObject.filter(kind="configuration").count() == 0


@pytest.mark.skipif(shutil.which("git-lfs") is None and "CI" not in os.environ, reason="git-lfs is not here")
@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_what_lfs_keeps_is_fetched_where_the_site_wants_it(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    organization = await factories.make_organization()
    repository = await factories.make_repository(organization, clone_url=f"{host.url}/acme/net")
    content = b"a picture, say" * 1000
    files = {
        ".gitattributes": "*.png filter=lfs diff=lfs merge=lfs -text\n",
        ".lfsconfig": "[lfs]\n\turl = http://127.0.0.1:1/elsewhere\n",
        "main.tf": "#",
        "logo.png": host.keep_large(content),
    }
    github = GitHub(host.root / "acme/net")
    pointing = commit(github.directory, files)
    pointed = await fetch.files_of(github, repository, pointing, organization.id, submodules=False)
    assert github.asked == ["tarball"]
    assert b"version https://git-lfs" in await member(pointed, "logo.png")

    monkeypatch.setattr(settings, "_current", settings.current().model_copy(update={"fetch_lfs": True}))
    sha = commit(github.directory, {"main.tf": "# again"})
    fetched = await fetch.files_of(github, repository, sha, organization.id, submodules=False)
    assert await member(fetched, "logo.png") == content
    assert github.asked == ["tarball", "tarball", "token", "revoked"]

    host.large.clear()
    gone = commit(github.directory, {"main.tf": "# once more"})
    with pytest.raises(StateroomError, match="git could not fetch acme/net"):
        await fetch.files_of(github, repository, gone, organization.id, submodules=False)


async def member(files: fetch.Files, name: str) -> bytes:
    packed = await objects.read(files.stored)
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        found = archive.extractfile(name)
        assert found
        return found.read()

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.errors import Conflict
from app.secret import Secret
from app.settings import Settings
from app.storage.models import StoredObject
from app.vcs.models import Repository
from github_app import fetch
from tests import factories
from tests.github.git_host import TOKEN, Host, commit, git, serving


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
        return subprocess.run(command, check=True, capture_output=True).stdout

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

from __future__ import annotations

import io
import tarfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from app.errors import StateroomError, TooLarge, Unavailable
from github_app import git_fetch
from github_app.git_fetch import Commit, GitFailed
from github_app.submodules import NotFetched
from tests.github.git_host import TOKEN, Host, commit, git, serving


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Host]:
    async with serving(Host(tmp_path)) as host:
        yield host


@pytest.fixture(autouse=True)
def directories(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where fetches put their directories; none may stay."""
    place = tmp_path_factory.mktemp("fetches")
    monkeypatch.setattr("tempfile.tempdir", str(place))
    yield place
    assert list(place.iterdir()) == []


async def fetched(
    host: Host, name: str, sha: str, *, submodules: bool = False, restricted: bool = False
) -> dict[str, str]:
    wanted = Commit(f"{host.url}/{name}", name, sha, submodules, restricted=restricted)
    packed = b"".join([piece async for piece in git_fetch.archive(wanted, TOKEN)])
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        assert archive.pax_headers["comment"] == sha
        assert all(entry.name.startswith("commit") for entry in archive)
        files = {entry.name.removeprefix("commit/"): archive.extractfile(entry) for entry in archive if entry.isfile()}
        return {name: file.read().decode() for name, file in files.items() if file}


async def test_a_commit_comes_with_what_archives_leave_out(host: Host) -> None:
    old = commit(host.root / "acme/net", {"main.tf": "# 1", "docs/a.md": "a", ".gitattributes": "/docs export-ignore"})
    commit(host.root / "acme/net", {"main.tf": "# 2"})
    assert await fetched(host, "acme/net", old) == {
        "main.tf": "# 1",
        "docs/a.md": "a",
        ".gitattributes": "/docs export-ignore",
    }


async def test_submodules_come_with_the_token_however_they_are_addressed(host: Host) -> None:
    commit(host.root / "acme/modules", {"m.tf": "# m"})
    commit(host.root / "acme/other", {"o.tf": "# o"})
    net = host.root / "acme/net"
    commit(net, {"main.tf": "# net"})
    git(net, "submodule", "add", "-q", str(host.root / "acme/modules"), "modules")
    git(net, "submodule", "add", "-q", str(host.root / "acme/other"), "other")
    git(net, "config", "-f", ".gitmodules", "submodule.modules.url", "../modules")
    git(net, "config", "-f", ".gitmodules", "submodule.other.url", "git@127.0.0.1:acme/other")
    sha = commit(net, {})
    got = await fetched(host, "acme/net", sha, submodules=True)
    assert {name: text for name, text in got.items() if name != ".gitmodules"} == {
        "main.tf": "# net",
        "modules/m.tf": "# m",
        "other/o.tf": "# o",
    }
    assert set(await fetched(host, "acme/net", sha)) == {"main.tf", ".gitmodules"}


def add_submodule(repository: Path, theirs: Path, url: str) -> str:
    """Let *repository* have *theirs* as its submodule `mod`, addressed by *url*; the commit's id."""
    commit(repository, {"main.tf": "# net"})
    git(repository, "submodule", "add", "-q", str(theirs), "mod")
    git(repository, "config", "-f", ".gitmodules", "submodule.mod.url", url)
    return commit(repository, {})


@pytest.mark.parametrize("restricted", [False, True])
async def test_a_host_that_a_submodule_names_is_never_called(
    host: Host, tmp_path_factory: pytest.TempPathFactory, restricted: bool
) -> None:
    async with serving(Host(tmp_path_factory.mktemp("elsewhere"))) as elsewhere:
        commit(elsewhere.root / "evil/mod", {"m.tf": "# m"})
        commit(host.root / "acme/inner", {"i.tf": "# i"})
        direct = add_submodule(host.root / "acme/net", elsewhere.root / "evil/mod", f"{elsewhere.url}/evil/mod")
        add_submodule(host.root / "acme/modules", elsewhere.root / "evil/mod", f"{elsewhere.url}/evil/mod")
        below = add_submodule(host.root / "acme/other", host.root / "acme/modules", "../modules")
        for name, sha in (("acme/net", direct), ("acme/other", below)):
            with pytest.raises(StateroomError) as caught:
                await fetched(host, name, sha, submodules=True, restricted=restricted)
            assert TOKEN.reveal() not in caught.value.sentence
            assert restricted or "submodules come from 127.0.0.1" in caught.value.sentence
    assert elsewhere.asked == []


async def test_submodules_of_submodules_come_too(host: Host) -> None:
    commit(host.root / "acme/inner", {"i.tf": "# i"})
    add_submodule(host.root / "acme/modules", host.root / "acme/inner", "../inner")
    sha = add_submodule(host.root / "acme/net", host.root / "acme/modules", "../modules")
    got = await fetched(host, "acme/net", sha, submodules=True)
    assert got["mod/mod/i.tf"] == "# i"
    assert not any(".git" in name.split("/") for name in got)


async def test_a_strangers_submodule_gets_no_token(host: Host) -> None:
    commit(host.root / "acme/modules", {"m.tf": "# m"})
    sha = add_submodule(host.root / "acme/net", host.root / "acme/modules", "../modules")
    with pytest.raises(GitFailed, match="has to be public"):
        await fetched(host, "acme/net", sha, submodules=True, restricted=True)
    host.public.add("/acme/modules")
    assert (await fetched(host, "acme/net", sha, submodules=True, restricted=True))["mod/m.tf"] == "# m"


@pytest.mark.parametrize(
    "url", ["file://{root}/acme/other", "{root}/acme/other", "ssh://git@example.com/x", "ext::sh -c x"]
)
async def test_no_other_protocol_is_spoken_for_a_submodule(host: Host, url: str) -> None:
    commit(host.root / "acme/other", {"secret": "of this machine"})
    sha = add_submodule(host.root / "acme/net", host.root / "acme/other", url.format(root=host.root))
    with pytest.raises(NotFetched, match="'mod' is not fetched"):
        await fetched(host, "acme/net", sha, submodules=True)


@pytest.mark.parametrize(
    "url", ["http://example.com/a/b", "file:///etc", "ssh://git@github.com/a/b", "https://u:p@github.com/a/b", "-x"]
)
async def test_only_https_without_credentials_is_fetched_from(url: str) -> None:
    with pytest.raises(GitFailed):
        await anext(git_fetch.archive(Commit(url, "a/b", "0" * 40, False), TOKEN))


async def test_a_commit_that_is_not_there_is_final_and_said_in_gits_words(host: Host) -> None:
    commit(host.root / "acme/net", {"main.tf": "#"})
    with pytest.raises(GitFailed, match=r"acme/net at 1111111: .*1111111"):
        await fetched(host, "acme/net", "1" * 40)
    with pytest.raises(GitFailed, match="no full id"):
        await fetched(host, "acme/net", "--upload-pack=touch x")


async def test_a_host_that_does_not_answer_is_asked_again() -> None:
    with pytest.raises(Unavailable, match="acme/net at 1111111"):
        await anext(git_fetch.archive(Commit("http://127.0.0.1:9/acme/net", "acme/net", "1" * 40, False), TOKEN))


async def test_what_takes_too_much_room_is_ended(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    sha = commit(host.root / "acme/net", {"main.tf": "#"})
    monkeypatch.setattr(git_fetch, "BETWEEN_LOOKS", 0)
    monkeypatch.setattr(git_fetch, "_size", lambda directory: 2**40)
    with pytest.raises(TooLarge, match="STATEROOM_MAX_ARCHIVE"):
        await fetched(host, "acme/net", sha)
    monkeypatch.setattr(git_fetch, "LONGEST", 0.0)
    with pytest.raises(Unavailable, match="took longer"):
        await fetched(host, "acme/net", sha)

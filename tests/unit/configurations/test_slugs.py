from __future__ import annotations

import gzip
import io
import os
import subprocess
import tarfile
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from app.configurations.archive import ArchiveLimits
from app.configurations.slugs import Lacks, Slug
from app.errors import Invalid, TooLarge
from app.http.limits import Limit

MiB = 1024**2
LIMITS = ArchiveLimits(Limit("A configuration archive", 100 * MiB, "STATEROOM_MAX_ARCHIVE"), 1024 * MiB, 1000)
SHA = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
TOP = "acme-net-4b825dc"
COMMITTED = 1_700_000_000


def entry(name: str, content: bytes = b"", **more: Any) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(f"{TOP}/{name}")
    info.size, info.mtime = len(content), COMMITTED
    for key, value in more.items():
        setattr(info, key, value)
    return info, content


def directory(name: str = "") -> tuple[tarfile.TarInfo, bytes]:
    return entry(name, type=tarfile.DIRTYPE, mode=0o775)


def link(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    return entry(name, type=tarfile.SYMTYPE, linkname=target)


def hard(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    return entry(name, type=tarfile.LNKTYPE, linkname=target)


def packed(*entries: tuple[tarfile.TarInfo, bytes], comment: str | None = SHA) -> bytes:
    """As a host packs them: below one directory, the commit in front."""
    out = io.BytesIO()
    headers = {"comment": comment} if comment else {}
    with tarfile.open(fileobj=out, mode="w:gz", format=tarfile.PAX_FORMAT, pax_headers=headers) as archive:
        for info, content in entries:
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


async def pieces(data: bytes, step: int) -> AsyncIterator[bytes]:
    for at in range(0, len(data), step):
        yield data[at : at + step]


async def slug(data: bytes, step: int = 64 * 1024, limits: ArchiveLimits = LIMITS) -> tuple[bytes, Lacks]:
    rewriting = Slug(limits, SHA)
    made = b"".join([piece async for piece in rewriting.packed(pieces(data, step))])
    return made, rewriting.lacks


async def refusal(*entries: tuple[tarfile.TarInfo, bytes], comment: str | None = SHA) -> str:
    with pytest.raises(Invalid) as caught:
        await slug(packed(*entries, comment=comment))
    return caught.value.sentence


def entries(made: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(made), mode="r:gz") as archive:
        return {info.name: info for info in archive}


def content(made: bytes, name: str) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(made), mode="r:gz") as archive:
        file = archive.extractfile(name)
        assert file
        return file.read()


@pytest.mark.parametrize("step", [1, 511, 100_000])
async def test_a_commit_becomes_a_slug_however_it_arrives(step: int) -> None:
    long = "modules/" + "n" * 120 + "/grüße.tf"
    data = packed(
        directory(),
        directory("modules/"),
        entry("main.tf", b"# main" * 300),
        entry(long, b"# long"),
        entry("run.sh", b"#!", mode=0o700),
        link("modules/up.tf", "../main.tf"),
        hard("again.tf", f"{TOP}/main.tf"),
    )
    made, _ = await slug(data, step)
    found = entries(made)

    assert list(found) == ["modules", "main.tf", long, "run.sh", "modules/up.tf", "again.tf"]
    assert content(made, "main.tf") == b"# main" * 300
    assert content(made, long) == b"# long"
    assert (found["modules/up.tf"].linkname, found["again.tf"].linkname) == ("../main.tf", "main.tf")


async def test_only_what_is_of_the_commit_is_kept() -> None:
    data = packed(
        directory(),
        entry("main.tf", b"x", mode=0o664, uid=1000, gid=1000, uname="runner", mtime=COMMITTED),
        entry("run.sh", b"x", mode=0o4775),
    )
    made, _ = await slug(data)
    found = entries(made).values()

    assert [oct(info.mode) for info in found] == ["0o644", "0o755"]
    assert {(info.uid, info.gid, info.uname, info.mtime) for info in found} == {(0, 0, "", COMMITTED)}
    assert made == (await slug(gzip.compress(gzip.decompress(data), 9), 700))[0]


async def test_what_gits_archive_packs_comes_out_the_same_each_time(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / "env").mkdir()
    (tmp_path / "env/main.tf").write_text("# env")
    (tmp_path / "link").symlink_to("env")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "one")
    sha = git(tmp_path, "rev-parse", "HEAD").decode().strip()

    async def rewritten(prefix: str) -> bytes:
        archive = git(tmp_path, "archive", "--format=tar.gz", f"--prefix={prefix}/", sha)
        return b"".join([piece async for piece in Slug(LIMITS, sha).packed(pieces(archive, 1000))])

    made = await rewritten("acme-net-1234567")
    assert set(entries(made)) == {"env", "env/main.tf", "link"}
    assert made == await rewritten("acme-renamed-since-1234567")


def git(directory: Path, *arguments: str) -> bytes:
    who = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
    return subprocess.run(["git", *who, "-C", directory, *arguments], check=True, capture_output=True).stdout


async def test_gits_own_files_are_left_out() -> None:
    data = packed(entry(".git", b"gitdir: /"), entry("m/.git/config", b"x"), entry(".GIT/x", b""), entry(".gitignore"))
    assert list(entries((await slug(data))[0])) == [".gitignore"]


@pytest.mark.parametrize(
    ("made_of", "said"),
    [
        ([entry("../../etc/passwd")], '".."'),
        ([entry("a"), (tarfile.TarInfo("other/b"), b"")], '"other/b"'),
        ([(tarfile.TarInfo("/etc/passwd"), b"")], "absolute"),
        ([(tarfile.TarInfo("main.tf"), b"")], '"main.tf" where its directory should be'),
        ([link("l", "/etc/passwd")], "absolute target"),
        ([link("l", "../x")], "leads out"),
        ([link("a/l", "../../x")], "leads out"),
        ([hard("h", f"{TOP}/../x")], '".."'),
        ([hard("h", "elsewhere/x")], "beside"),
        ([hard("h", f"{TOP}/not-there")], "not-there"),
        ([entry("a", b"1"), entry("a", b"2")], "twice"),
        ([entry("dev", type=tarfile.CHRTYPE)], "device"),
        ([entry("pipe", type=tarfile.FIFOTYPE)], "pipe"),
    ],
)
async def test_what_leads_out_of_the_repository_is_refused(made_of: list[Any], said: str) -> None:
    assert said in await refusal(*made_of)


async def test_an_archive_of_another_commit_is_refused() -> None:
    other = "0" * 40
    assert other in await refusal(entry("a"), comment=other)
    assert "does not say" in await refusal(entry("a"), comment=None)
    assert "does not say" in await refusal(comment=None)


async def test_an_archive_cut_off_is_refused() -> None:
    data = packed(entry("a", os.urandom(3000)))
    with pytest.raises(Invalid, match="ends in the middle"):
        await slug(data[:-20])


async def test_limits_hold_for_what_comes_and_for_what_is_made() -> None:
    small = ArchiveLimits(Limit("A configuration archive", 4000, "STATEROOM_MAX_ARCHIVE"), MiB, 5)
    with pytest.raises(TooLarge, match="STATEROOM_MAX_ARCHIVE"):
        await slug(packed(entry("a", os.urandom(9000))), limits=small)
    with pytest.raises(Invalid, match="STATEROOM_MAX_ARCHIVE_UNPACKED"):
        await slug(packed(entry("a", bytes(2 * MiB))), limits=small)
    with pytest.raises(Invalid, match="STATEROOM_MAX_ARCHIVE_FILES"):
        await slug(packed(*[entry(str(number)) for number in range(6)]), limits=small)
    with pytest.raises(Invalid, match="STATEROOM_MAX_ARCHIVE_FILES"):
        await slug(packed(*[entry(f".git/{number}") for number in range(6)]), limits=small)


@pytest.mark.parametrize(
    ("made_of", "lacks"),
    [
        ([entry("main.tf", b"version https://example.com/")], Lacks()),
        ([entry(".gitmodules", b"[submodule]")], Lacks(submodules=True)),
        ([entry("below/.gitmodules", b"[submodule]")], Lacks()),
        ([entry("below/.gitattributes", b"*.md text\n/docs export-ignore\n")], Lacks(attributes=True)),
        ([entry(".gitattributes", b"VERSION text export-subst eol=lf")], Lacks(attributes=True)),
        ([entry(".gitattributes", b"# docs export-ignore\n*.tf text\nx export-ignored\n")], Lacks()),
        ([entry("doc.txt", b"docs export-ignore")], Lacks()),
        ([entry("big.zip", b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n")], Lacks(large_files=True)),
        ([entry("long.md", b"version https://git-lfs.github.com/spec/v1\n" + b"x" * 2000)], Lacks()),
    ],
)
async def test_what_a_hosts_archive_lacks_is_told(made_of: list[Any], lacks: Lacks) -> None:
    assert (await slug(packed(entry("other.tf", b"#"), *made_of)))[1] == lacks


async def test_a_long_file_passes_in_little_memory() -> None:
    data = packed(entry("zeros", bytes(64 * MiB)))
    tracemalloc.start()
    try:
        await slug(data, 16 * 1024)
        assert tracemalloc.get_traced_memory()[1] < 8 * MiB
    finally:
        tracemalloc.stop()

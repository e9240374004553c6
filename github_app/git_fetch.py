"""Fetches one commit with git, where the host's own archive lacks something of it: submodules, left-out files,
what Git LFS keeps elsewhere.

Whose code it is decides nothing here: git gets an environment of its own and no configuration but ours, speaks https
only, runs no hook, and is killed with all its children at the end, when it takes too long or too much room.  The token
is in that environment alone; no argument, remote or file has it.  Submodules are fetched like the commit itself, one
after the other, since `git submodule update` would call whatever address it finds (`submodules.py`).  Source:
`github-app.md` §5.2 of the protocol notes.
"""

from __future__ import annotations

import asyncio
import base64
import os
import re
import signal
import tarfile
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

from app import settings
from app.configurations.archive import ArchiveLimits
from app.errors import StateroomError, TooLarge, Unavailable
from app.http.limits import readable
from app.secret import Secret
from github_app import submodules

#: Seconds that all of a fetch may take, and between two looks at the room it takes.
LONGEST = 600.0
BETWEEN_LOOKS = 1.0
#: What git says is told up to this much, from its end.
MOST_TOLD = 64 * 1024
#: Submodules are listed up to this many bytes.
MOST_LISTED = 1024 * 1024
PIECE = 256 * 1024
_SHA = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


class GitFailed(StateroomError):
    """git said no; the sentence has git's own words."""


@dataclass(frozen=True)
class Commit:
    """What is to be fetched: *sha* of the repository at *clone_url*, which *full_name* says in a sentence."""

    clone_url: str
    full_name: str
    sha: str
    submodules: bool
    large_files: bool = False
    """Whether files of Git LFS are fetched, from the repository's own host; those of submodules are not."""
    restricted: bool = False
    """Whether a stranger wrote it: then the token goes to the repository itself alone, and no redirect is followed."""


async def archive(commit: Commit, token: Secret[str]) -> AsyncIterator[bytes]:
    """The commit packed as its host would, with what the host leaves out.

    Raises GitFailed for good, TooLarge, and Unavailable where trying again may help.
    """
    with TemporaryDirectory(prefix="stateroom-fetch-", ignore_cleanup_errors=True) as name:
        directory = Path(name)
        await _Fetch(commit, token, directory).run()
        packed = directory / "packed"
        with packed.open("rb") as file:
            while piece := await asyncio.to_thread(file.read, PIECE):
                yield piece


class _Fetch:
    def __init__(self, commit: Commit, token: Secret[str], directory: Path) -> None:
        if not _SHA.fullmatch(commit.sha):
            raise GitFailed(f"{commit.sha[:60]!r} is no full id of a commit.")
        self._commit = commit
        self._directory = directory
        self._tree = directory / "tree"
        self._tree.mkdir()
        self._environment = _environment(commit, token, directory)
        self._limits = ArchiveLimits.of(settings.current())

    async def run(self) -> None:
        commit, name = self._commit, f"{self._commit.full_name} at {self._commit.sha[:7]}"
        try:
            async with asyncio.timeout(LONGEST):
                await self._check_out(self._tree, commit.clone_url, commit.sha)
                if commit.submodules:
                    await self._check_out_submodules()
                if commit.large_files:
                    await self._git(self._tree, "lfs", "pull")
                committed = int(await self._git(self._tree, "show", "--no-patch", "--format=%ct", commit.sha))
                await asyncio.to_thread(self._pack, committed)
        except TimeoutError:
            raise Unavailable(f"git took longer than {LONGEST / 60:.0f} minutes to fetch {name}.") from None

    async def _check_out(self, tree: Path, url: str, sha: str) -> None:
        await self._git(tree, "init", "--quiet")
        await self._git(tree, "remote", "add", "origin", url)
        await self._git(tree, "fetch", "--quiet", "--depth=1", "--no-tags", "origin", sha)
        await self._git(tree, "checkout", "--quiet", "--detach", "FETCH_HEAD")

    async def _check_out_submodules(self) -> None:
        """Those of the commit and those of its submodules, each address judged before git sees it."""
        waiting = [(self._tree, self._commit.clone_url)]
        while waiting:
            tree, url = waiting.pop()
            for submodule in await self._submodules_of(tree):
                there, inside = submodule.address(url), submodule.directory(tree)
                await self._check_out(inside, there, submodule.sha)
                waiting.append((inside, there))

    async def _submodules_of(self, tree: Path) -> list[submodules.Submodule]:
        if not (tree / ".gitmodules").exists():
            return []
        status = await self._git(tree, "submodule", "status", most=MOST_LISTED)
        if not status:
            return []
        read = ("config", "--blob", "HEAD:.gitmodules", "--null", "--get-regexp", r"^submodule\.")
        settings = await self._git(tree, *read, most=MOST_LISTED)
        if MOST_LISTED in (len(status), len(settings)):
            raise GitFailed(f"{self._commit.full_name} has more submodules than can be listed in {MOST_LISTED} bytes.")
        return list(submodules.listed(status.decode("utf-8", "replace"), settings.decode("utf-8", "replace")))

    async def _git(self, tree: Path, *arguments: str, most: int = MOST_TOLD) -> bytes:
        """Run git in *tree*: what it said, from its end and no more than *most* bytes.  Raises GitFailed."""
        process = await asyncio.create_subprocess_exec(
            "git",
            "-C",
            str(tree),
            *arguments,
            env=self._environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        watching = asyncio.create_task(self._watch(process.pid))
        try:
            said = await _read(process, most)
            code = await process.wait()
        finally:
            watching.cancel()
            _kill(process.pid)
        if watching.done() and not watching.cancelled() and watching.exception():
            raise watching.exception()  # type: ignore[misc]
        if code:
            raise self._failed(said.decode("utf-8", "replace"))
        return said

    async def _watch(self, group: int) -> None:
        """Kill *group* once it has taken more room than files and their packed form may take."""
        most = self._limits.unpacked + self._limits.packed.most
        while True:
            await asyncio.sleep(BETWEEN_LOOKS)
            if await asyncio.to_thread(_size, self._directory) > most:
                _kill(group)
                raise TooLarge(
                    f"{self._commit.full_name} at {self._commit.sha[:7]} is longer than {readable(most)} with its"
                    " history's last commit (settings STATEROOM_MAX_ARCHIVE and STATEROOM_MAX_ARCHIVE_UNPACKED).",
                    limit=most,
                )

    def _failed(self, said: str) -> StateroomError:
        lines = dict.fromkeys(line.strip() for line in said.replace(f"{self._tree}/", "").splitlines())
        told = [line for line in lines if line.startswith(("fatal:", "error:", "remote:"))] or list(lines)[-1:]
        reason = " ".join("".join(c for c in "; ".join(told) if c.isprintable()).split())[:1000]
        sentence = f"git could not fetch {self._commit.full_name} at {self._commit.sha[:7]}: {reason}"
        if "could not read Username" in said:
            sentence += ". A submodule has to be public: what fetches it may read the commit's own repository alone."
        if "'lfs' is not a git command" in said:
            sentence += " Install git-lfs where workers run, or set STATEROOM_FETCH_LFS=false."
        return Unavailable(sentence) if _may_pass(said) else GitFailed(sentence)

    def _pack(self, committed: int) -> None:
        """Pack what was checked out, in one order, and nothing of git's own."""

        def anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
            if entry.name.rpartition("/")[2].lower() == ".git":
                return None
            entry.mtime = committed
            return entry

        said = {"comment": self._commit.sha}
        path = self._directory / "packed"
        with tarfile.open(
            path, "w:gz", compresslevel=1, format=tarfile.PAX_FORMAT, pax_headers=said, errorlevel=2
        ) as tar:
            tar.add(self._tree, "commit", filter=anonymous)


def _environment(commit: Commit, token: Secret[str], home: Path) -> dict[str, str]:
    """All that git is told, and nothing of this process's own environment but where programs lie."""
    url = urlsplit(commit.clone_url)
    if url.username or url.password or not url.hostname:
        raise GitFailed("The repository's address is not one that git can fetch from.")
    if url.scheme != "https" and (url.scheme != "http" or url.hostname not in _LOOPBACK):
        raise GitFailed(f"Repositories are fetched over https only, and not from {url.scheme}://{url.netloc}.")
    host = f"{url.scheme}://{url.netloc}/"
    known_to = commit.clone_url if commit.restricted else host
    basic = base64.b64encode(f"x-access-token:{token.reveal()}".encode()).decode()
    given = [
        ("protocol.allow", "never"),
        (f"protocol.{url.scheme}.allow", "always"),
        (f"http.{known_to}.extraHeader", f"Authorization: Basic {basic}"),
        ("http.followRedirects", "false" if commit.restricted else "initial"),
        ("http.lowSpeedLimit", "1000"),
        ("http.lowSpeedTime", "60"),
        ("core.hooksPath", "/dev/null"),
        ("core.fsmonitor", "false"),
        ("core.attributesFile", "/dev/null"),
        ("credential.helper", ""),
        ("fetch.fsckObjects", "true"),
        ("submodule.recurse", "false"),
        ("gc.auto", "0"),
        ("init.defaultBranch", "main"),
        ("advice.detachedHead", "false"),
    ]
    if commit.large_files:
        # The commit's own .lfsconfig may not send us to another server.
        given += [("lfs.url", f"{commit.clone_url}/info/lfs"), ("lfs.locksverify", "false")]
        given += [("filter.lfs.smudge", "git-lfs smudge --skip -- %f"), ("filter.lfs.clean", "git-lfs clean -- %f")]
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(home),
        "LC_ALL": "C.UTF-8",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_ALLOW_PROTOCOL": url.scheme,
        "GIT_CONFIG_COUNT": str(len(given)),
    }
    for name in ("HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy", "SSL_CERT_FILE", "GIT_SSL_CAINFO"):
        if name in os.environ:
            environment[name] = os.environ[name]
    for number, (key, value) in enumerate(given):
        environment[f"GIT_CONFIG_KEY_{number}"], environment[f"GIT_CONFIG_VALUE_{number}"] = key, value
    return environment


async def _read(process: asyncio.subprocess.Process, most: int) -> bytes:
    assert process.stdout
    said = b""
    while piece := await process.stdout.read(8192):
        said = (said + piece)[-most:]
    return said


def _kill(group: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def _size(directory: Path) -> int:
    total = 0
    for above, _, names in os.walk(directory):
        for name in names:
            with suppress(OSError):  # git renames its files while we look
                total += os.lstat(os.path.join(above, name)).st_size
    return total


#: What git says when the other side, or the way there, did not answer.
_PASSING = (
    "Could not resolve",
    "timed out",
    "Failed to connect",
    "Connection refused",
    "Connection reset",
    "returned error: 5",
    "early EOF",
    "hung up",
)


def _may_pass(said: str) -> bool:
    return any(words in said for words in _PASSING)

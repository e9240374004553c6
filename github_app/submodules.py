"""Where a commit's submodules are fetched from: repositories of its own host, and nothing else.

`.gitmodules` is written by whoever wrote the commit, a stranger for instance, while git runs on this server and outside
any sandbox.  So git is never handed an address that was written there, but one made anew of the parts that were judged:
no difference between our reading and git's can lead elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from app.errors import StateroomError

_NAME = re.compile(r"[A-Za-z0-9._-]{1,255}")
#: `git@host:owner/name` and `ssh://git@host/owner/name`: the same repository is there by http(s).
_BY_SSH = re.compile(r"(?:git@(?P<host>[^/:@]+):|ssh://git@(?P<other>[^/:@]+)/)(?P<path>.*)")
_STATUS = re.compile(r"[ +U-](?P<sha>[0-9a-f]{40}(?:[0-9a-f]{24})?) (?P<path>.*?)(?: \([^()]*\))?")
_PORTS = {"https": 443, "http": 80}


class NotFetched(StateroomError):
    """A submodule that is fetched from nowhere; the sentence says which and why."""


@dataclass(frozen=True, slots=True)
class Submodule:
    """A commit *sha* that belongs at *path*; *written* is its address as `.gitmodules` has it."""

    path: str
    sha: str
    written: str

    @property
    def shown(self) -> str:
        """Its path, for a sentence."""
        return repr("".join(c for c in self.path if c.isprintable())[:200])

    def address(self, parent: str) -> str:
        """Where it is fetched from, *parent* being where the repository that has it was.  Raises NotFetched."""
        home = urlsplit(parent)
        names = _names(self.written, home)
        if names is None:
            raise NotFetched(
                f"The submodule {self.shown} is not fetched: submodules come from {home.netloc} only, the host of the"
                " repository itself, and are named there by an owner and a name."
            )
        return f"{home.scheme}://{home.netloc}/{'/'.join(names)}"

    def directory(self, tree: Path) -> Path:
        """The empty directory that a checkout of *tree* made for it.  Raises NotFetched."""
        root, inside = tree.resolve(), tree.resolve() / self.path
        is_below = inside.is_relative_to(root) and inside.resolve() == inside
        if not is_below or not inside.is_dir() or any(inside.iterdir()):
            raise NotFetched(f"The submodule {self.shown} has no directory of its own.")
        return inside


def listed(status: str, settings: str) -> Iterator[Submodule]:
    """What `git submodule status` tells of, with the addresses that `git config --null` found in `.gitmodules`.  One
    whose `update` is `none` is left out, as git does."""
    told: dict[str, dict[str, str]] = {}
    for entry in settings.split("\0"):
        key, _, value = entry.partition("\n")
        name, _, variable = key.removeprefix("submodule.").rpartition(".")
        told.setdefault(name, {})[variable] = value
    by_path = {one["path"].rstrip("/"): one for one in told.values() if "path" in one}
    for line in status.splitlines():
        if found := _STATUS.fullmatch(line):
            said = by_path.get(found["path"], {})
            if said.get("update") != "none":
                yield Submodule(found["path"], found["sha"], said.get("url", ""))


def _names(written: str, home: SplitResult) -> list[str] | None:
    """Owner and name of the repository at *written*; None unless it is on the host of *home*."""
    if written.startswith(("./", "../")):
        names = _relative(written, home.path)
    else:
        path = _path_at(written, home)
        names = None if path is None else path.strip("/").split("/")
    if names is None or len(names) != 2 or not all(_NAME.fullmatch(one) and one.strip(".") for one in names):
        return None
    return names


def _relative(written: str, path: str) -> list[str] | None:
    names = path.strip("/").split("/")
    for step in written.split("/"):
        if step == "..":
            if not names:
                return None
            names.pop()
        elif step not in ("", "."):
            names.append(step)
    return names


def _path_at(written: str, home: SplitResult) -> str | None:
    if by_ssh := _BY_SSH.fullmatch(written):
        host = by_ssh["host"] or by_ssh["other"]
        return by_ssh["path"] if host.lower() == home.hostname else None
    try:
        there = urlsplit(written)
        origin = (there.scheme, there.hostname, there.port or _PORTS.get(there.scheme))
    except ValueError:
        return None
    if there.query or there.fragment or origin != (home.scheme, home.hostname, home.port or _PORTS.get(home.scheme)):
        return None
    return there.path

"""Bare git repositories, written by `git fast-import`: a commit is one process, whatever it changes."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

ZERO = "0" * 40
_WHO = "The Octocat <octocat@github.example>"
_ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
}

#: A path's new content; None removes it; a link is written as "-> target", a submodule as "=> SHA", a
#: program as "#!...".
Files = Mapping[str, str | bytes | None]


class Bare:
    """One repository."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._time = 1_760_000_000
        path.mkdir(parents=True)
        self.git("init", "--bare", "--quiet", "--initial-branch=main", ".")
        for setting in ("uploadpack.allowReachableSHA1InWant", "http.uploadpack"):
            self.git("config", setting, "true")

    def git(self, *arguments: str, given: bytes = b"") -> bytes:
        done = subprocess.run(
            ["git", *arguments], cwd=self.path, env=_ENVIRONMENT, input=given, capture_output=True, check=False
        )
        if done.returncode:
            raise GitFailed(done.stderr.decode(errors="replace").strip())
        return done.stdout

    def text(self, *arguments: str) -> str:
        return self.git(*arguments).decode().strip()

    def commit(self, ref: str, files: Files, message: str, *, parents: tuple[str, ...], keep: bool = True) -> str:
        """A commit on *ref*, on top of *parents*; without *keep* nothing is there but *files*."""
        self._time += 60
        lines: list[bytes] = [f"commit {ref}\n".encode(), f"committer {_WHO} {self._time} +0000\n".encode()]
        lines.append(_data(message.encode()))
        if parents:
            lines.append(f"from {parents[0]}\n".encode())
            lines += [f"merge {parent}\n".encode() for parent in parents[1:]]
        if not keep:
            lines.append(b"deleteall\n")
        for path, content in files.items():
            lines.append(_change(path, content))
        start = [] if parents else [f"reset {ref}\n".encode()]
        self.git("fast-import", "--quiet", "--force", given=b"".join(start + lines))
        return self.text("rev-parse", ref)

    def tag(self, name: str, sha: str, message: str | None = None) -> str:
        """With a *message* it is an object of its own, whose id this gives."""
        if message is None:
            self.git("update-ref", f"refs/tags/{name}", sha)
            return sha
        self._time += 60
        given = f"object {sha}\ntype commit\ntag {name}\ntagger {_WHO} {self._time} +0000\n\n{message}\n"
        made = self.git("mktag", given=given.encode()).decode().strip()
        self.git("update-ref", f"refs/tags/{name}", made)
        return made

    def set(self, ref: str, sha: str | None) -> None:
        self.git("update-ref", *(["-d", ref] if sha is None else [ref, sha]))

    def sha(self, ref: str) -> str | None:
        """Of an exact ref or a whole id; not peeled."""
        try:
            return self.text("rev-parse", "--verify", "--quiet", ref)
        except GitFailed:
            return None

    def kind(self, sha: str) -> str | None:
        try:
            return self.text("cat-file", "-t", sha)
        except GitFailed:
            return None

    def changed(self, before: str, after: str) -> list[dict[str, str]]:
        """As GitHub lists files, renames told."""
        said = self.git("diff", "--name-status", "-z", "-M", before, after).decode().split("\0")[:-1]
        files, words = [], iter(said)
        for letter in words:
            path = next(words)
            status = {"A": "added", "D": "removed", "M": "modified", "T": "changed", "R": "renamed"}[letter[0]]
            file = {"filename": path, "status": status}
            if status == "renamed":
                file |= {"previous_filename": path, "filename": next(words)}
            files.append(file)
        return files

    def archive(self, sha: str, prefix: str) -> bytes:
        return self.git("archive", "--format=tar.gz", f"--prefix={prefix}/", sha)


class GitFailed(Exception):
    pass


def _data(content: bytes) -> bytes:
    return f"data {len(content)}\n".encode() + content + b"\n"


def _change(path: str, content: str | bytes | None) -> bytes:
    if content is None:
        return f"D {path}\n".encode()
    raw = content.encode() if isinstance(content, str) else content
    mode = "644"
    if raw.startswith(b"=> "):
        return f"M 160000 {raw[3:].decode()} {path}\n".encode()
    if raw.startswith(b"-> "):
        mode, raw = "120000", raw[3:]
    elif raw.startswith(b"#!"):
        mode = "755"
    return f"M {mode} inline {path}\n".encode() + _data(raw)

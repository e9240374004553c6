"""Run tests as an ordinary user, where pytest itself runs as root.

They run in a second pytest, started once, which is told one test after the other.  The interpreter, the packages and
the checkout may lie below directories that only root may enter (`/root`, a `mktemp -d`), so it gets a view of the
machine, its own alone, in which it can reach them.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import pytest
from _pytest.runner import runtestprotocol

from app.supervisor import namespaces

ORDINARY = 54_321
HANG = 150.0
HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[2]


class OrdinaryPytest:
    """The second pytest, from this side."""

    def __init__(self) -> None:
        self._reading, theirs = os.pipe()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.supervisor.users", str(theirs)],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=[theirs],
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        )
        os.close(theirs)
        self._answers = os.fdopen(self._reading)

    def run(self, item: pytest.Item) -> list[pytest.TestReport]:
        """Set up, call and tear down *item* over there; what pytest has to say of it."""
        assert self._process.stdin is not None
        self._process.stdin.write(item.nodeid.encode() + b"\n")
        self._process.stdin.flush()
        answer = self._answers.readline() if select.select([self._reading], [], [], HANG)[0] else ""
        if not answer:
            self._process.kill()
            return [self._died(item)]
        make = item.config.hook.pytest_report_from_serializable
        return [make(config=item.config, data=data) for data in json.loads(answer)]

    def _died(self, item: pytest.Item) -> pytest.TestReport:
        said = self._process.communicate()[0].decode(errors="replace")
        words = f"the pytest of the ordinary user died or did not answer; it said:\n{said}"
        return pytest.TestReport(item.nodeid, item.location, {}, "failed", words, "call")

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def close(self) -> None:
        self._process.communicate()
        self._answers.close()


class Loop:
    """The second pytest's own loop: what it runs, it is told."""

    def __init__(self, answers: int) -> None:
        self._answers = os.fdopen(answers, "w")

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        items = {item.nodeid: item for item in session.items}
        for line in sys.__stdin__ or ():
            item = items[line.rstrip("\n")]
            session._setupstate.teardown_exact(item)
            reports = runtestprotocol(item, log=False, nextitem=cast(pytest.Item, _Sibling(item)))
            tell = item.config.hook.pytest_report_to_serializable
            told = [tell(config=item.config, report=report) for report in reports]
            self._answers.write(json.dumps(told) + "\n")
            self._answers.flush()
        return True


class _Sibling:
    """Another test beside *item*: what they share stays up between the two."""

    def __init__(self, item: pytest.Item) -> None:
        self._parents = item.listchain()[:-1]

    def listchain(self) -> list[Any]:
        return self._parents


def become_ordinary() -> None:
    namespaces.unshare(namespaces.CLONE_NEWNS)
    namespaces.mount("none", "/", None, namespaces.MS_REC | namespaces.MS_SLAVE)
    for path in {Path(sys.base_prefix), Path(sys.prefix), REPOSITORY}:
        _make_reachable(path.resolve())
    os.setgroups([])
    os.setresgid(ORDINARY, ORDINARY, ORDINARY)
    os.setresuid(ORDINARY, ORDINARY, ORDINARY)
    os.environ["HOME"] = "/nonexistent"


def _make_reachable(path: Path) -> None:
    """Where a directory on the way to *path*, or it itself, is closed to others, put an open one in its place."""
    for closed in (*reversed(path.parents), path):
        if closed.stat().st_mode & 0o005 == 0o005:
            continue
        shown = list(closed.iterdir()) if closed == path else [closed / path.relative_to(closed).parts[0]]
        _show_only(closed, shown)


def _show_only(directory: Path, entries: Iterable[Path]) -> None:
    handles = {entry: os.open(entry, os.O_PATH) for entry in entries if not entry.is_symlink()}
    links = {entry: os.readlink(entry) for entry in entries if entry.is_symlink()}
    namespaces.mount("reachable", str(directory), "tmpfs", 0, "mode=755")
    for entry, handle in handles.items():
        if os.path.isdir(f"/proc/self/fd/{handle}"):
            entry.mkdir()
        else:
            entry.touch()
        namespaces.mount(f"/proc/self/fd/{handle}", str(entry), None, namespaces.MS_BIND | namespaces.MS_REC)
    for entry, target in links.items():
        entry.symlink_to(target)


def main(answers: int) -> int:
    become_ordinary()
    options = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--capture=sys", str(HERE)]
    return int(pytest.main(options, plugins=[Loop(answers)]))


if __name__ == "__main__":
    raise SystemExit(main(int(sys.argv[1])))

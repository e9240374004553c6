"""Run one test as an ordinary user, where the tests themselves run as root.

The test runs in a forked child.  The interpreter, the packages and the checkout may lie below directories that only
root may enter (`/root`, a `mktemp -d`), so the child gets a view of the machine, its own alone, that can reach them.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import pytest
from _pytest.runner import runtestprotocol

from app.supervisor import namespaces

ORDINARY = 54_321
REPOSITORY = Path(__file__).resolve().parents[3]


def run_as_ordinary(item: pytest.Item) -> list[pytest.TestReport]:
    """Set up, call and tear down *item* in a child that is an ordinary user; what pytest has to say of it."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            _become_ordinary()
            reports = runtestprotocol(item, log=False, nextitem=cast(pytest.Item, _Sibling(item)))
            told = [item.config.hook.pytest_report_to_serializable(config=item.config, report=it) for it in reports]
            with os.fdopen(writing, "w") as pipe:
                json.dump(told, pipe)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    assert said, "the child that was to run this test as an ordinary user died; its own words are above"
    return [
        item.config.hook.pytest_report_from_serializable(config=item.config, data=data) for data in json.loads(said)
    ]


class _Sibling:
    """Another test beside *item*, so that nothing is torn down in the child that the parent still needs."""

    def __init__(self, item: pytest.Item) -> None:
        self._parents = item.listchain()[:-1]

    def listchain(self) -> list[Any]:
        return self._parents


def _become_ordinary() -> None:
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

"""Servers: one for all CLI tests of a pytest process, others of a test's own; and configurations."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.configuration import Configuration
from tests.e2e.up import Up, eventually, furnished, processes_on
from tests.migrated import migrated


@pytest.fixture(scope="session")
def migrated_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a first start makes in two seconds, for those who do not test that."""
    path = tmp_path_factory.mktemp("migrated") / "stateroom.sqlite3"
    migrated(f"sqlite://{path}")
    path.chmod(0o600)
    return path


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, migrated_database: Path) -> Iterator[Up]:
    up = Up(furnished(tmp_path_factory.mktemp("server") / "data", migrated_database))
    try:
        yield up.wait_until_ready()
        assert up.stop() == 0, up.said()
    finally:
        up.end()
        for pid in processes_on(up.data):
            os.kill(pid, signal.SIGKILL)
        assert eventually(lambda: processes_on(up.data) == []), processes_on(up.data)


@pytest.fixture
def configuration(server: Up, tmp_path: Path) -> Configuration:
    """A directory with a workspace name of its own, not yet written and not yet initialized."""
    return Configuration(server, tmp_path / "configuration")


@pytest.fixture
def start(tmp_path: Path, migrated_database: Path) -> Iterator[Callable[..., Up]]:
    """Starts `up` on the test's own directory, again if asked again; none of its processes outlives the test."""
    data, started = furnished(tmp_path / "data", migrated_database), list[Up]()

    def begin(*options: str, **settings: str) -> Up:
        started.append(Up(data, *options, **settings))
        return started[-1].wait_until_ready()

    yield begin
    for up in started:
        up.end()
    for pid in processes_on(data):
        os.kill(pid, signal.SIGKILL)
    assert eventually(lambda: processes_on(data) == []), processes_on(data)

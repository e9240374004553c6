"""Servers: one for all CLI tests of a pytest process, others of a test's own; and configurations."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.configuration import Configuration
from tests.e2e.up import Up, eventually, processes_on


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    up = Up(tmp_path_factory.mktemp("server") / "data")
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
def start(tmp_path: Path) -> Iterator[Callable[..., Up]]:
    """Starts `up` on the test's own directory, again if asked again; none of its processes outlives the test."""
    data, started = tmp_path / "data", list[Up]()

    def begin(*options: str, **settings: str) -> Up:
        started.append(Up(data, *options, **settings))
        return started[-1].wait_until_ready()

    yield begin
    for up in started:
        up.end()
    for pid in processes_on(data):
        os.kill(pid, signal.SIGKILL)
    assert eventually(lambda: processes_on(data) == []), processes_on(data)

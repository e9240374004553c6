"""Terraforms of other versions against one server; those that are programs are also what its worker runs.

`make test` drives one of them, STATEROOM_TEST_EVERY_CLIENT=1 all.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.clients import Client, asked_for
from tests.clients.walk import STEPS, Walk
from tests.e2e.configuration import Configuration
from tests.e2e.up import Up, processes_on

WALKS = [
    pytest.param(client, backend, execution, id=f"{client.version}-{backend}-{execution}")
    for client in asked_for()
    for backend in client.backends
    for execution in ("remote", "local")
]


@pytest.fixture(scope="module")
def equipped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """A server whose worker has the old versions in its tools directory."""
    data = tmp_path_factory.mktemp("equipped") / "data"
    tools = data.with_name("tools")
    for client in asked_for():
        if not client.is_library:
            client.put_into(tools)
    up = Up(data, STATEROOM_TOOLS_DIR=str(tools))
    try:
        yield up.wait_until_ready()
    finally:
        up.end()
        for pid in processes_on(data):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize(("client", "backend", "execution"), WALKS)
def test_a_client_goes_the_whole_way(
    equipped: Up, tmp_path: Path, client: Client, backend: str, execution: str
) -> None:
    configuration = Configuration(equipped, tmp_path / "configuration")
    seen = Walk(client, backend, execution, configuration).go()
    assert tuple(seen.steps) == STEPS

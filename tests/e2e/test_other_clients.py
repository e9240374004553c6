"""Terraforms of other versions against one server; those that are programs are also what its worker runs.

`make test` drives one of them, `make test-clis` all, and writes down what it saw (docs/compatibility.md).
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients import alone, table
from tests.clients.clients import Client, Limit, asked_for
from tests.clients.walk import ROUTES, Route, Walk
from tests.e2e.configuration import Configuration
from tests.e2e.up import Up, processes_on

GONE = [pytest.param(route, id=str(route)) for route in ROUTES if route.client in asked_for()]
ALONE = [
    pytest.param(client, limit, id=f"{client.version}-{limit.step}")
    for client in asked_for()
    for limit in client.limits
    if limit.alone
]


@pytest.fixture(scope="module")
def equipped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """A server whose worker has the old versions in its tools directory."""
    data = tmp_path_factory.mktemp("equipped") / "data"
    tools = data.with_name("tools")
    for client in asked_for():
        if not client.is_client_only:
            client.put_into(tools)
    up = Up(data, STATEROOM_TOOLS_DIR=str(tools))
    try:
        yield up.wait_until_ready()
    finally:
        up.end()
        for pid in processes_on(data):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("route", GONE)
def test_a_client_goes_the_whole_way(equipped: Up, tmp_path: Path, route: Route) -> None:
    seen = Walk(route, Configuration(equipped, tmp_path / "configuration")).go()
    table.note(seen)


if ALONE:  # the one that `make test` drives has no limits

    @pytest.mark.parametrize(("client", "limit"), ALONE)
    def test_what_a_client_cannot_do_it_cannot_do_without_us(tmp_path: Path, client: Client, limit: Limit) -> None:
        assert limit.says in alone.ends_with(client, limit, tmp_path / "alone")

"""The small client, against the ideal server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import load, servers
from bench.connections import ConnectionLost, connect
from bench.ideal_server import LOG
from bench.servers import Server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with servers.ideal(tmp_path / "data") as running:
        yield running


async def test_one_connection_answers_again_and_again(server: Server) -> None:
    async with await connect(server.url, {}, str(server.ca_bundle)) as connection:
        whole = await connection.get("/logs/plan?limit=65536&offset=0")
        part = await connection.get("/logs/plan?limit=5&offset=3")
        nothing = await connection.get(f"/logs/plan?limit=5&offset={len(LOG)}")
        missing = await connection.get("/nowhere")
    assert (whole.status, whole.body) == (200, LOG)
    assert (part.status, part.body) == (200, LOG[3:8])
    assert (nothing.status, nothing.body) == (200, b"")
    assert missing.status == 404


async def test_a_server_that_goes_away_is_an_error(server: Server) -> None:
    async with await connect(server.url, {}, str(server.ca_bundle)) as connection:
        await connection.get("/logs/plan?limit=1&offset=0")
        server.process.terminate()
        await asyncio.to_thread(server.process.wait)
        with pytest.raises(ConnectionLost):
            await connection.get("/logs/plan?limit=1&offset=0")


def test_the_load_refuses_answers_that_are_no_success(tmp_path: Path) -> None:
    with servers.ideal(tmp_path / "data", "--no-tls") as server:
        assert load.requests_per_second(f"{server.url}/api/v2/runs/run-x", 1) > 0
        with pytest.raises(load.LoadFailed):
            load.requests_per_second(f"{server.url}/nowhere", 1)

"""The bell, on Valkey and on Redis, and while neither is there."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from app import bell
from app.settings import Settings
from app.storage import valkey


class Ear:
    def __init__(self) -> None:
        self.count = 0
        self._heard = asyncio.Event()

    def __call__(self) -> None:
        self.count += 1
        self._heard.set()

    async def hears(self, within: float = 10) -> bool:
        await asyncio.wait_for(self._heard.wait(), within)
        self._heard.clear()
        return True


@asynccontextmanager
async def listening(url: str | None, ear: Ear, **options: object) -> AsyncIterator[None]:
    task = asyncio.create_task(bell.listen(url, ear, **options))  # type: ignore[arg-type]
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def url(parts: Settings) -> AsyncIterator[str]:
    assert parts.redis_url is not None
    await bell.connect(parts.redis_url.reveal())
    yield parts.redis_url.reveal()
    await bell.close()


async def test_a_bell_is_heard_whatever_event_rings_it(url: str) -> None:
    ear = Ear()
    async with listening(url, ear):
        for event in ((), ("an event",), ("two", "things")):
            await bell.ring(*event)
            assert await ear.hears()


async def test_a_bell_rung_before_anyone_listens_is_heard_later(url: str) -> None:
    await bell.ring()
    ear = Ear()
    async with listening(url, ear):
        assert await ear.hears()


async def test_one_of_two_listeners_hears_a_bell_and_it_is_one_that_is_idle(url: str) -> None:
    busy, free = Ear(), Ear()
    async with listening(url, busy, idle=lambda: False), listening(url, free):
        for _ in range(5):
            await bell.ring()
            assert await free.hears()
    assert busy.count == 0


async def test_bells_nobody_hears_do_not_pile_up(url: str) -> None:
    for _ in range(300):
        await bell.ring()
    client = valkey.client(url)
    assert await client.zcard(bell.QUEUE) == bell.ENOUGH
    await client.aclose(close_connection_pool=True)


class Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (exec, ("raise SystemExit('a pickle was run')",))


async def test_a_pickle_in_the_queue_is_not_run_and_does_not_deafen(url: str) -> None:
    client = valkey.client(url)
    await client.psetex("arq:job:evil", 10_000, pickle.dumps(Bomb()))
    await client.zadd(bell.QUEUE, {"evil": 1})
    ear = Ear()
    async with listening(url, ear):
        await bell.ring()
        assert await ear.hears()
    await client.aclose(close_connection_pool=True)


async def test_without_a_url_ringing_is_nothing_and_listening_waits() -> None:
    await bell.connect(None)
    await bell.ring()
    ear = Ear()
    async with listening(None, ear):
        await asyncio.sleep(0)
    assert ear.count == 0


async def test_both_ends_survive_that_the_server_comes_late_and_restarts(tmp_path: Path) -> None:
    await bell.connect(valkey.url(tmp_path))
    await bell.ring("nobody there")
    ear = Ear()
    async with listening(valkey.url(tmp_path), ear):
        for _ in range(2):
            server = await valkey.start(tmp_path)
            async with asyncio.timeout(20):
                before = ear.count
                while ear.count == before:  # ringing is silent for a second after a failure
                    await bell.ring()
                    await asyncio.sleep(0.05)
            await valkey.stop(server)
            await bell.ring("away again")
    await bell.close()

"""Log streams, on Valkey and on Redis, and while neither is there."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.errors import Unavailable
from app.settings import Settings
from app.storage import streams, valkey

KEY = "plan-1"


@pytest.fixture
async def url(parts: Settings) -> AsyncIterator[str]:
    assert parts.redis_url is not None
    await streams.connect(parts.redis_url.reveal())
    yield parts.redis_url.reveal()
    await streams.close()


pytestmark = pytest.mark.usefixtures("url")


async def test_what_is_appended_is_read_from_any_offset() -> None:
    for end, data in ((1, b"\x02"), (6, b"hello"), (12, b" world")):
        assert await streams.append(KEY, end, data, claim=1)
    text = b"\x02hello world"
    for offset in range(15):
        for limit in (1, 3, 100):
            assert await streams.read(KEY, offset, limit) == text[offset:][:limit]
    assert await streams.end(KEY) == 12


async def test_a_long_write_is_cut_and_reads_as_one() -> None:
    data = os.urandom(1_000_000)
    assert await streams.append(KEY, len(data), data, claim=1)
    assert await streams.read(KEY, 0, 2_000_000) == data
    assert await streams.read(KEY, 123_456, 400_000) == data[123_456:][:400_000]


async def test_a_repeated_write_changes_nothing_and_succeeds() -> None:
    for _ in range(3):
        assert await streams.append(KEY, 5, b"hello", claim=1)
        assert await streams.append(KEY, 11, b" world", claim=1)
    assert await streams.read(KEY, 0, 100) == b"hello world"


async def test_who_lost_his_claim_writes_nothing_more() -> None:
    assert await streams.append(KEY, 5, b"hello", claim=1)
    assert await streams.append(KEY, 9, b" new", claim=2)
    assert not await streams.append(KEY, 20, b"hello frozen me", claim=1)
    assert await streams.append(KEY, 10, b"!", claim=2)
    assert await streams.read(KEY, 0, 100) == b"hello new!"


async def test_what_is_trimmed_is_not_read_and_the_rest_is() -> None:
    for end in range(10, 110, 10):
        await streams.append(KEY, end, b"%010d" % end, claim=1)
    await streams.trim(KEY, 50)
    assert await streams.read(KEY, 0, 100) == b""
    assert await streams.read(KEY, 45, 100) == b""
    assert (await streams.read(KEY, 50, 100)).startswith(b"0000000060")
    await streams.trim(KEY, 100)
    assert await streams.end(KEY) == 100


async def test_a_lost_stream_is_refilled_where_it_ended() -> None:
    assert await streams.refill(KEY, 1000, b"x" * 150_000, claim=3)
    assert await streams.refill(KEY, 1000, b"x" * 150_000, claim=3)
    assert await streams.read(KEY, 1000, 200_000) == b"x" * 150_000
    assert await streams.read(KEY, 0, 10) == b""


async def test_who_waits_is_woken_by_the_first_byte_beyond_his_offset() -> None:
    await streams.append(KEY, 5, b"hello", claim=1)
    assert await streams.wait(KEY, 0, 10)
    waiting = asyncio.create_task(streams.wait(KEY, 5, 30))
    further = asyncio.create_task(streams.wait(KEY, 6, 30))
    await asyncio.sleep(0.3)
    assert not waiting.done()
    await streams.append(KEY, 6, b"!", claim=1)
    assert await asyncio.wait_for(waiting, 5)
    await asyncio.sleep(0.1)
    assert not further.done()
    await streams.append(KEY, 7, b"!", claim=1)
    assert await asyncio.wait_for(further, 5)


async def test_who_waits_for_a_stream_that_is_not_there_yet_is_woken_too() -> None:
    waiting = asyncio.create_task(streams.wait(KEY, 0, 30))
    await asyncio.sleep(0.2)
    await streams.append(KEY, 1, b"\x02", claim=1)
    assert await asyncio.wait_for(waiting, 5)


async def test_nobody_waits_for_what_is_sealed_and_trimmed_already() -> None:
    await streams.append(KEY, 100, b"x" * 100, claim=1)
    await streams.trim(KEY, 100)
    assert await asyncio.wait_for(streams.wait(KEY, 50, 30), 5)


async def test_nobody_waits_at_a_closed_stream_and_waiting_ends_by_itself() -> None:
    await streams.append(KEY, 5, b"hello", claim=1)
    assert not await streams.wait(KEY, 5, 0.1)
    waiting = asyncio.create_task(streams.wait(KEY, 5, 30))
    await asyncio.sleep(0.1)
    await streams.finish(KEY, 5)
    assert await asyncio.wait_for(waiting, 5)
    assert await asyncio.wait_for(streams.wait(KEY, 5, 30), 5)
    assert await streams.read(KEY, 0, 10) == b"hello"


async def test_two_hundred_waiters_hold_one_connection_and_all_hear(url: str) -> None:
    client = valkey.client(url)
    keys = [f"plan-{number % 40}" for number in range(200)]
    waiters = [asyncio.create_task(streams.wait(key, 0, 60)) for key in keys]
    await asyncio.sleep(0.5)
    connections = [c for c in await client.client_list() if c["cmd"] in ("subscribe", "get")]
    assert len([c for c in connections if int(c["sub"])]) == 1
    assert len(await client.client_list()) < 40
    for number in range(40):
        await streams.append(f"plan-{number}", 1, b"\x02", claim=1)
    assert all(await asyncio.wait_for(asyncio.gather(*waiters), 10))
    await client.aclose(close_connection_pool=True)


async def test_a_waiter_that_goes_away_hurts_nobody() -> None:
    waiters = [asyncio.create_task(streams.wait(KEY, 0, 60)) for _ in range(20)]
    await asyncio.sleep(0.05)
    for waiter in waiters[::2]:
        waiter.cancel()
    await streams.append(KEY, 1, b"\x02", claim=1)
    assert all(await asyncio.wait_for(asyncio.gather(*waiters[1::2]), 10))


async def test_readers_that_follow_a_fast_writer_miss_nothing() -> None:
    lines = [os.urandom(1 + number % 300) for number in range(400)]
    text = b"".join(lines)

    async def follow(step: int) -> bytes:
        got = b""
        while len(got) < len(text):
            piece = await streams.read(KEY, len(got), step)
            if not piece:
                assert await streams.wait(KEY, len(got), 30)
            got += piece
        return got

    readers = [asyncio.create_task(follow(step)) for step in (7000, 100_000, 1000)]
    end = 0
    for line in lines:
        end += len(line)
        await streams.append(KEY, end, line, claim=1)
    assert await asyncio.wait_for(asyncio.gather(*readers), 60) == [text] * 3


async def test_streams_that_nobody_waits_for_are_not_listened_to_for_ever(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams.Watch, "LINGER", 0.3)
    await streams.connect(url)
    await streams.wait(KEY, 0, 0.1)
    client = valkey.client(url)
    for _ in range(200):
        if len(await client.pubsub_channels("stateroom:*")) == 1:
            break
        await asyncio.sleep(0.05)
    else:
        pytest.fail("it still listens")
    waiting = asyncio.create_task(streams.wait(KEY, 0, 30))
    await asyncio.sleep(0.1)
    await streams.append(KEY, 1, b"\x02", claim=1)
    assert await asyncio.wait_for(waiting, 5)
    await client.aclose(close_connection_pool=True)


async def test_without_valkey_nothing_is_appended_and_readers_are_sent_to_the_segments() -> None:
    await streams.connect(None)
    with pytest.raises(Unavailable):
        await streams.append(KEY, 1, b"\x02", claim=1)
    assert await streams.read(KEY, 0, 10) == b""
    assert not await asyncio.wait_for(streams.wait(KEY, 0, 30), 5)
    await streams.trim(KEY, 10)
    await streams.expire(KEY, 10)


async def test_a_valkey_that_restarts_is_found_again(tmp_path: Path) -> None:
    server = await valkey.start(tmp_path)
    await streams.connect(valkey.url(tmp_path))
    await streams.append(KEY, 5, b"hello", claim=1)
    waiting = asyncio.create_task(streams.wait(KEY, 5, 30))
    await asyncio.sleep(0.1)
    server.kill()
    await server.wait()
    assert not await asyncio.wait_for(waiting, 10)
    with pytest.raises(Unavailable):
        await streams.append(KEY, 6, b"!", claim=1)
    assert await streams.read(KEY, 0, 10) == b""
    server = await valkey.start(tmp_path)
    assert await streams.read(KEY, 0, 10) == b"hello"
    async with asyncio.timeout(20):
        waiting = asyncio.create_task(streams.wait(KEY, 5, 15))
        await asyncio.sleep(0)
        assert await streams.append(KEY, 6, b"!", claim=1)
        while not await waiting:
            waiting = asyncio.create_task(streams.wait(KEY, 5, 15))
    await streams.close()
    await valkey.stop(server)

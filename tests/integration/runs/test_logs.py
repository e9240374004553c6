"""A phase's log: what was written is read, byte for byte, from any offset, by anybody, at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from app import clock, ids, runs
from app import settings as settings_module
from app.access.actors import SYSTEM
from app.errors import Unavailable
from app.jobs import claims
from app.jobs.claims import Claim, Lost
from app.redis_url import pool
from app.runs import logs, moves
from app.runs.logs import Writer
from app.runs.models import LogSegment, Plan, Run
from app.settings import Settings
from app.storage import objects, streams
from tests import factories
from tests.migrated import migrated
from tests.services import Parts

TEXT = "größe 𝄞 日本\n".encode() * 50
PATIENCE = 30


@pytest.fixture
def settings(parts: Parts, tmp_path: Path) -> Settings:
    return settings_module.load(
        data_dir=tmp_path,
        database_url=parts.prepared(migrated, "migrated"),
        redis_url=parts.redis_url,
        objects_url=parts.objects_url,
        objects_options=parts.objects_options,
    )


@pytest.fixture
async def run(opened: Settings, parts: Parts) -> AsyncIterator[Run]:
    """A run that plans."""
    await streams.connect(parts.redis_url)
    run = await factories.make_run()
    claimed = await factories.take_job()
    await moves.move(run, "start", claim=claimed.claim)
    yield run
    await streams.close()


async def claim_of(run: Run) -> Claim:
    [job] = await run.jobs.filter(closed_at=None)  # type: ignore[attr-defined]
    return Claim(job.id, job.claim, job.worker_id)


async def writer(run: Run) -> Writer:
    made = Writer(ids.plan_id(run.id), run.organization_id, await claim_of(run))
    await made.open()
    return made


async def whole(run: Run, limit: int = 64 * 1024) -> bytes:
    found = bytearray()
    async with asyncio.timeout(PATIENCE):
        while not found.endswith(b"\x03"):
            found += await logs.read(ids.plan_id(run.id), len(found), limit, hold=5)
    return bytes(found)


async def forget_streams(parts: Parts) -> None:
    redis = Redis(connection_pool=pool(parts.redis_url))
    await redis.flushall()
    await redis.aclose(close_connection_pool=True)


async def test_what_is_written_is_read_framed_and_in_pieces_of_any_size(run: Run) -> None:
    log = await writer(run)
    for at in range(0, len(TEXT), 7):
        await log.write(TEXT[at : at + 7])
    await log.close()
    for limit in (1, 5, 1000, 65536):
        assert await whole(run, limit) == b"\x02" + TEXT + b"\x03"


async def test_the_same_bytes_come_from_segments_when_the_stream_is_gone(
    run: Run, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "SEGMENT", 100)
    log = await writer(run)
    for at in range(0, len(TEXT), 33):
        await log.write(TEXT[at : at + 33])
    assert await LogSegment.all().count() > 5
    await log.close()
    await forget_streams(parts)
    for limit in (3, 250, 65536):
        assert await whole(run, limit) == b"\x02" + TEXT + b"\x03"


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_a_reader_is_woken_by_the_write_and_holds_nothing_meanwhile(run: Run) -> None:
    log = await writer(run)
    plan_id = ids.plan_id(run.id)
    reading = [asyncio.create_task(logs.read(plan_id, 1, 65536, hold=20)) for _ in range(50)]
    late = asyncio.create_task(logs.read(plan_id, 3, 65536, hold=20))
    await asyncio.sleep(0.3)
    assert not any(task.done() for task in reading)
    began = time.monotonic()
    await log.write(b"line one\n")
    assert set(await asyncio.gather(*reading)) == {b"line one\n"}
    assert await late == b"ne one\n"
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_a_reader_with_nothing_new_gets_nothing_after_its_time(run: Run) -> None:
    await writer(run)
    began = time.monotonic()
    assert await logs.read(ids.plan_id(run.id), 1, 65536, hold=0.4) == b""
    assert 0.3 < time.monotonic() - began < 5
    assert await logs.read(ids.plan_id(run.id), 10_000, 65536) == b""


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_a_held_reader_gets_the_end_at_once_and_nothing_after_it(run: Run) -> None:
    log = await writer(run)
    await log.write(b"x")
    held = asyncio.create_task(logs.read(ids.plan_id(run.id), 2, 65536, hold=20))
    await asyncio.sleep(0.1)
    await log.close()
    assert await asyncio.wait_for(held, 5) == b"\x03"
    assert await asyncio.wait_for(logs.read(ids.plan_id(run.id), 3, 65536, hold=20), 5) == b""
    assert (await Plan.get(run_id=run.id)).log_closed_at is not None


async def test_who_is_overtaken_writes_nothing_and_the_successor_goes_on(run: Run) -> None:
    first = await writer(run)
    await first.write(b"first\n")
    [job] = await run.jobs.filter(closed_at=None)  # type: ignore[attr-defined]
    assert await claims.seize(job, "wrk-other") is not None
    second = Writer(ids.plan_id(run.id), run.organization_id, await claim_of(run))
    assert await second.open()
    await second.write(b"second\n")
    with pytest.raises(Lost):
        await first.write(b"too late\n")
    with pytest.raises(Lost):
        await first.close()
    await second.close()
    assert await whole(run) == b"\x02first\nsecond\n\x03"


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_while_valkey_is_away_readers_fall_behind_but_do_not_starve(
    run: Run, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    await streams.connect("unix:///nonexistent/valkey.sock")
    log = await writer(run)
    await log.write(b"one\n")
    async with asyncio.timeout(PATIENCE):
        assert await logs.read(ids.plan_id(run.id), 0, 65536, hold=20) == b"\x02one\n"
    await log.write(b"two\n")
    await streams.connect(parts.redis_url)
    await log.write(b"three\n")
    async with asyncio.timeout(PATIENCE):
        while not (await Plan.get(run_id=run.id)).log_length >= 14:  # noqa: ASYNC110 (sealed by and by)
            await asyncio.sleep(0.05)
    await log.write(b"four\n")
    await log.close()
    assert await whole(run) == b"\x02one\ntwo\nthree\nfour\n\x03"


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_what_valkey_was_not_told_is_found_once_the_log_is_shown(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(log: Writer) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(Writer, "_keep_sealing", never)
    await streams.connect("unix:///nonexistent/valkey.sock")
    log = await writer(run)
    await log.write(b"the last line\n")
    assert await logs.read(ids.plan_id(run.id), 0, 65536) == b""
    await log.show()
    assert await logs.read(ids.plan_id(run.id), 0, 65536) == b"\x02the last line\n"
    await log.abandon()


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_who_takes_a_log_over_waits_until_it_can_know_what_readers_have_seen(run: Run, parts: Parts) -> None:
    first = await writer(run)
    await first.write(b"seen, and nowhere else\n")
    [job] = await run.jobs.filter(closed_at=None)  # type: ignore[attr-defined]
    claimed = await claims.seize(job, "wrk-second")
    assert claimed is not None
    second = Writer(ids.plan_id(run.id), run.organization_id, claimed.claim)
    await streams.connect("unix:///nonexistent/valkey.sock")
    with pytest.raises(Unavailable):
        await second.open()
    await streams.connect(parts.redis_url)
    assert await second.open()
    await second.close()
    assert await whole(run) == b"\x02seen, and nowhere else\n\x03"


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_a_log_taken_up_again_goes_on_where_it_was(run: Run) -> None:
    first = await writer(run)
    await first.write(b"first\n")
    await first.suspend()
    second = await writer(run)
    assert second.position == len(b"\x02first\n")
    await second.write(b"second\n")
    await second.close()
    assert await whole(run) == b"\x02first\nsecond\n\x03"


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_a_phase_that_never_began_reads_as_an_empty_log(run: Run) -> None:
    waiting = await factories.make_run()
    assert await logs.read(ids.plan_id(waiting.id), 0, 65536) == b""
    await runs.cancel(SYSTEM, waiting)
    for phase_id in (ids.plan_id(waiting.id), ids.apply_id(waiting.id)):
        assert await logs.read(phase_id, 0, 65536) == b"\x02\x03"
        assert await logs.read(phase_id, 1, 65536) == b"\x03"
        assert await logs.read(phase_id, 2, 65536, hold=20) == b""


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_a_plan_canceled_while_it_waits_to_be_taken_up_again_has_an_end(run: Run) -> None:
    log = await writer(run)
    await log.write(b"begun\n")
    await log.suspend()
    await moves.move(run, "requeue", claim=await claim_of(run))
    await runs.cancel(SYSTEM, run)
    assert await whole(run) == b"\x02begun\n\x03"


@pytest.mark.parametrize("minutes", [-1, 60], ids=["closed a minute ago", "closed by a clock an hour ahead"])
@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_the_log_of_a_force_canceled_run_is_ended_by_a_sweep(run: Run, parts: Parts, minutes: int) -> None:
    log = await writer(run)
    await log.write(b"begun\n")
    await Plan.filter(run_id=run.id).update(log_closed_at=clock.now() + timedelta(minutes=minutes))
    assert await whole(run) == b"\x02begun\n\x03"
    await logs.end_abandoned()
    assert (await Plan.get(run_id=run.id)).log_ended
    await forget_streams(parts)
    assert await whole(run) == b"\x02begun\n\x03"
    await log.close()  # the same bytes end it: there is nothing to add
    assert await whole(run) == b"\x02begun\n\x03"


async def test_a_log_that_was_closed_by_a_holder_who_died_then_is_closed_for_its_successor(run: Run) -> None:
    first = await writer(run)
    await first.write(TEXT)
    await first.close()
    [claimed] = await claims.take_over(first._claim.worker_id)
    second = Writer(ids.plan_id(run.id), run.organization_id, claimed.claim)
    await second.open()
    await second.close()
    assert await whole(run) == b"\x02" + TEXT + b"\x03"
    assert await claims.close(claimed.claim)


async def test_who_thaws_after_another_took_its_log_over_shows_nothing(run: Run) -> None:
    frozen = await writer(run)
    await frozen.write(b"begun\n")
    [claimed] = await claims.take_over(frozen._claim.worker_id)
    successor = Writer(ids.plan_id(run.id), run.organization_id, claimed.claim)
    await successor.open()
    with pytest.raises(Lost):
        await frozen.write(b"thawed\n")
    await successor.write(b"again\n")
    await successor.close()
    assert await whole(run) == b"\x02begun\nagain\n\x03"


async def test_who_thaws_while_its_log_is_ended_writes_nothing_behind_the_end(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    frozen = await writer(run)
    await frozen.write(b"begun\n")
    await Plan.filter(run_id=run.id).update(log_closed_at=clock.now() - timedelta(minutes=1))
    put = objects.put

    async def slow(*given: Any, **named: Any) -> Any:
        with suppress(Lost):
            await frozen.write(b"thawed\n")
        return await put(*given, **named)

    monkeypatch.setattr(objects, "put", slow)
    assert await logs.end_abandoned() == 1
    ended = b"\x02begun\n\x03"
    assert await whole(run) == ended
    assert await logs.read(ids.plan_id(run.id), len(ended), 65536) == b""

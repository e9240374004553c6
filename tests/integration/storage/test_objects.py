"""Encrypted objects, as files and in a bucket."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sys
import time
from collections.abc import AsyncIterator

import obstore
import pytest

from app.errors import TooLarge, Unavailable
from app.settings import Settings
from app.storage import crypto, database, keys, objects, stores
from app.storage.models import StoredObject

MIB = 1024 * 1024


@pytest.fixture
async def store(parts: Settings) -> AsyncIterator[Settings]:
    keys.use(keys.generate())
    objects.connect(parts)
    yield parts
    objects.close()
    keys.use(None)


async def pieces(content: bytes, length: int) -> AsyncIterator[bytes]:
    for at in range(0, len(content), length):
        yield content[at : at + length]


def name_of(stored: StoredObject) -> str:
    return f"{stored.kind}/{stored.organization_id}/{stored.id}"


async def raw(stored: StoredObject) -> bytes:
    return b"".join([piece async for piece in objects._opened().get(name_of(stored))])


async def overwrite(stored: StoredObject, content: bytes) -> None:
    await objects._opened().put(name_of(stored), pieces(content, MIB))


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(("length", "step"), [(0, 1), (1, 1), (3 * MIB + 7, 1000), (11 * MIB, 4 * MIB)])
async def test_an_object_comes_back_byte_for_byte(length: int, step: int) -> None:
    content = os.urandom(length)
    stored = await objects.put("state", "org-1", pieces(content, step))
    assert (stored.size, stored.md5, stored.sha256) == (
        length,
        hashlib.md5(content).hexdigest(),
        hashlib.sha256(content).hexdigest(),
    )
    assert await objects.read(stored) == content


@pytest.mark.usefixtures("store")
async def test_a_part_of_an_object_can_be_read() -> None:
    content = os.urandom(3 * MIB)
    stored = await objects.put("log", "org-1", content)
    for start, length in (
        (0, 1),
        (65_536, 1),
        (100_000, 2 * MIB),
        (3 * MIB - 1, 10),
        (3 * MIB, 5),
        (0, None),
        (5, None),
    ):
        got = b"".join([piece async for piece in objects.stream(stored, start, length)])
        assert got == content[start:][:length]


@pytest.mark.usefixtures("store")
async def test_what_lies_in_the_store_is_not_clear_text() -> None:
    stored = await objects.put("state", "org-1", b"hunter2" * 100_000)
    assert b"hunter2" not in await raw(stored)


@pytest.mark.usefixtures("store")
async def test_a_cut_changed_or_swapped_object_is_noticed() -> None:
    content = os.urandom(200_000)
    one, two = await objects.put("state", "org-1", content), await objects.put("state", "org-1", content)
    sealed, other = await raw(one), await raw(two)
    border = crypto.HEADER + crypto.SEALED_CHUNK
    for wrong in (
        sealed[:-1],
        sealed[:border],
        b"",
        sealed[:100] + bytes([sealed[100] ^ 1]) + sealed[101:],
        other,
        sealed + b"x",
    ):
        await overwrite(one, wrong)
        with pytest.raises(crypto.Damaged):
            await objects.read(one)
    await overwrite(one, sealed)
    assert await objects.read(one) == content


@pytest.mark.usefixtures("store")
async def test_a_key_moved_to_another_organizations_row_does_not_open_it() -> None:
    stored = await objects.put("state", "org-1", b"secret")
    sealed = await raw(stored)
    stolen = stored
    stolen.organization_id = "org-2"
    await overwrite(stolen, sealed)
    with pytest.raises(crypto.Damaged):
        await objects.read(stolen)


@pytest.mark.usefixtures("store")
async def test_an_object_that_is_gone_is_damaged_and_deleting_it_again_is_nothing() -> None:
    stored = await objects.put("state", "org-1", b"x")
    await objects.delete_bytes(stored)
    await objects.delete_bytes(stored)
    with pytest.raises(crypto.Damaged, match="not in the object store"):
        await objects.read(stored)


@pytest.mark.parametrize("length", [1000, 20 * MIB])
async def test_too_long_an_object_is_refused_and_leaves_nothing(store: Settings, length: int) -> None:
    with pytest.raises(TooLarge):
        await objects.put("state", "org-1", pieces(bytes(length), MIB), limit=length - 1)
    assert await everything_in(store) == []
    stored = await objects.put("state", "org-1", pieces(bytes(length), MIB), limit=length)
    assert stored.size == length


async def test_a_client_that_goes_away_leaves_nothing(store: Settings) -> None:
    async def breaking_off() -> AsyncIterator[bytes]:
        for _ in range(12):
            yield bytes(MIB)
        raise RuntimeError("the client is gone")

    with pytest.raises(RuntimeError, match="the client is gone"):
        await objects.put("state", "org-1", breaking_off())
    task = asyncio.create_task(objects.put("state", "org-1", endless()))
    await asyncio.sleep(0.2)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert await everything_in(store) == []


async def endless() -> AsyncIterator[bytes]:
    while True:
        yield bytes(1000)
        await asyncio.sleep(0)


async def everything_in(configured: Settings) -> list[str]:
    store = objects._opened()
    if isinstance(store, stores.Files):
        return [str(path) for path in store.root.rglob("*") if path.is_file()]
    assert isinstance(store, stores.Bucket)
    return [entry["path"] for batch in obstore.list(store._store) for entry in batch]


async def test_the_store_says_when_it_cannot_be_used(store: Settings) -> None:
    await objects.ping()
    if store.objects_url.reveal().startswith("file:"):
        blocked = store.data_dir / "a file"
        blocked.write_text("")
        away = store.model_copy(update={"objects_url": type(store.objects_url)(f"file://{blocked}/objects")})
    else:
        options = store.objects_options | {"endpoint": "http://127.0.0.1:9"}
        away = store.model_copy(update={"objects_options": options})
    objects.connect(away)
    with pytest.raises(Unavailable):
        await objects.ping()
    with pytest.raises(Unavailable):
        await objects.put("state", "org-1", b"x")


FAR = """
import asyncio, hashlib, json, re, sys
from app import settings
from app.storage import keys, objects

def peak():
    # Not ru_maxrss: that begins with the peak of the process this one was forked from.
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024

async def chunks():
    for at in range(200 * 16):
        yield at.to_bytes(8) * 8192

async def main():
    objects.connect(settings.load(**json.loads(sys.argv[1])))
    keys.use(keys.generate())
    await objects.read(await objects.put("state", "org-1", bytes(3_000_000)))
    before = peak()
    stored = await objects.put("state", "org-1", chunks())
    digest = hashlib.sha256()
    async for piece in objects.stream(stored):
        digest.update(piece)
    print(stored.size, digest.hexdigest() == stored.sha256, round(peak() - before))

asyncio.run(main())
"""


async def test_200_mb_up_and_down_need_less_than_64_mb(parts: Settings) -> None:
    arguments = {
        "data_dir": str(parts.data_dir),
        "objects_url": parts.objects_url.reveal(),
        "objects_options": parts.objects_options,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", FAR, json.dumps(arguments), stdout=asyncio.subprocess.PIPE
    )
    out, _ = await asyncio.wait_for(process.communicate(), 120)
    size, whole, grown = out.split()
    assert (int(size), whole) == (200 * MIB, b"True")
    print("grew by", int(grown), "MiB")
    assert int(grown) < 64


async def test_a_key_file_that_does_not_fit_the_database_is_refused_and_none_is_made(
    opened: Settings,
) -> None:
    await database.generate_schema()
    first = await keys.open_ring(opened)
    assert (await keys.open_ring(opened)).active == first.active
    keys.key_file(opened).unlink()
    with pytest.raises(keys.KeyRingError, match="is not there"):
        await keys.open_ring(opened)
    assert not keys.key_file(opened).exists()
    keys.save(keys.generate(), keys.key_file(opened))
    with pytest.raises(keys.KeyRingError, match=first.active):
        await keys.open_ring(opened)


@pytest.mark.usefixtures("store")
async def test_every_object_is_listed_with_its_size() -> None:
    stored = [await objects.put("state", "org-1", bytes(length)) for length in (1, 70_000)]
    listed = [one async for page in objects._opened().listed() for one in page]
    assert {one.name for one in listed} == {name_of(one) for one in stored}
    assert all(one.size > 0 and abs(one.written_at - time.time()) < 120 for one in listed)


@pytest.mark.usefixtures("store")
async def test_what_a_cut_upload_left_is_swept_after_two_days_and_no_object_ever() -> None:
    old = await objects.put("state", "org-1", b"a state that no row names")
    store = objects._opened()
    if not isinstance(store, stores.Files):
        assert await objects.sweep() == 0
        assert await raw(old)
        return
    path, long_ago = store.root / name_of(old), time.time() - 3 * 86400
    torn, growing, foreign = [path.with_name(name) for name in (f".{old.id}.0a1b2c3d", ".x.0a1b2c3d", ".keep")]
    for file in (torn, growing, foreign):
        file.write_bytes(b"half")
    for file in (path, torn, foreign):
        os.utime(file, (long_ago, long_ago))
    assert [await objects.sweep(), await objects.sweep()] == [1, 0]
    assert sorted(path.parent.iterdir()) == sorted([path, growing, foreign])
    assert await objects.read(old) == b"a state that no row names"

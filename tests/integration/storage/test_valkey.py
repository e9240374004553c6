"""The Valkey that comes along: where it can start, what it keeps, with whom it ends."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from app.errors import Unavailable
from app.storage import valkey


def runs(pid: int) -> bool:
    """In a container nobody may reap an orphan: a zombie has ended."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


async def ends(pid: int) -> bool:
    for _ in range(500):
        if not runs(pid):
            return True
        await asyncio.sleep(0.02)
    return False


@pytest.mark.parametrize("length", [10, 200])
async def test_it_answers_at_a_socket_however_long_the_path_is(tmp_path: Path, length: int) -> None:
    directory = tmp_path / ("d" * length) / "with space % and ?" / "valkey"
    process = await valkey.start(directory)
    client = valkey.client(valkey.url(directory))
    assert await client.set("a", "1")
    assert (directory / valkey.SOCKET).stat().st_mode & 0o777 == 0o700
    await client.aclose(close_connection_pool=True)
    await valkey.stop(process)


async def test_what_was_acknowledged_outlives_a_kill(tmp_path: Path) -> None:
    process = await valkey.start(tmp_path)
    client = valkey.client(valkey.url(tmp_path))
    for number in range(500):
        await client.xadd("list", {"n": number})
    process.kill()
    await process.wait()
    process = await valkey.start(tmp_path)
    assert await client.xlen("list") == 500
    await client.aclose(close_connection_pool=True)
    await valkey.stop(process)
    assert process.returncode == 0


async def test_what_does_not_fit_into_its_memory_is_refused_not_evicted(tmp_path: Path) -> None:
    process = await valkey.start(tmp_path, memory=8 * 1024**2)
    client = valkey.client(valkey.url(tmp_path))
    await client.set("first", "kept")

    async def fill() -> None:
        for number in range(20):
            await client.set(f"big{number}", bytes(1024**2))

    with pytest.raises(Exception, match="maxmemory"):
        await fill()
    assert await client.get("first") == b"kept"
    await client.aclose(close_connection_pool=True)
    await valkey.stop(process)


async def test_where_it_cannot_start_its_reason_is_told(tmp_path: Path) -> None:
    (tmp_path / "appendonlydir").write_text("in the way")
    with pytest.raises(Unavailable, match=r"It said: .*append"):
        await valkey.start(tmp_path)


STARTER = """
import asyncio, sys
from pathlib import Path
from app.storage import valkey

async def main():
    process = await valkey.start(Path(sys.argv[1]))
    print(process.pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_it_ends_when_its_parent_is_killed_and_not_by_the_terminals_interrupt(tmp_path: Path) -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", STARTER, str(tmp_path), stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    pid = int(await parent.stdout.readline())
    assert os.getpgid(pid) == pid
    os.kill(parent.pid, signal.SIGKILL)
    await parent.wait()
    assert await ends(pid)

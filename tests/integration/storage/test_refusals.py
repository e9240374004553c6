"""What the machine or the server refuses is told as a sentence, and afterwards everything goes on."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from app import settings as settings_module
from app.errors import Unavailable
from app.secret import Secret
from app.settings import Settings, SettingsError
from app.storage import database
from app.storage.database import in_transaction
from tests.services.postgresql import PostgreSQL

FILES = ["embedded"]
SERVERS = ["external"]


async def run(sql: str) -> object:
    return await database.client().execute_query(sql)


async def write_in_transaction() -> None:
    async with in_transaction():
        await write()


async def write() -> None:
    await run("INSERT INTO notes SELECT hex(zeroblob(100000))")


@pytest.mark.parametrize("parts", FILES, indirect=True)
async def test_a_full_disk_loses_nothing_and_is_told(opened: Settings) -> None:
    await run("CREATE TABLE notes (text TEXT)")
    await run("INSERT INTO notes VALUES ('kept')")
    await run("PRAGMA max_page_count = 10")
    for attempt in (write_in_transaction, write):
        with pytest.raises(Unavailable, match=r"is full\. Nothing was changed"):
            await attempt()
    await run("PRAGMA max_page_count = 100000")
    await write_in_transaction()
    assert len(await database.client().execute_query_dict("SELECT text FROM notes")) == 2


@pytest.mark.parametrize("parts", FILES, indirect=True)
async def test_a_read_only_database_is_told(opened: Settings) -> None:
    await run("CREATE TABLE notes (text TEXT)")
    await run("PRAGMA query_only = ON")
    with pytest.raises(Unavailable, match="read-only"):
        await write_in_transaction()
    await run("PRAGMA query_only = OFF")
    await write_in_transaction()


@pytest.mark.parametrize("parts", FILES, indirect=True)
async def test_a_database_that_another_process_holds_is_told(opened: Settings) -> None:
    await run("CREATE TABLE notes (text TEXT)")
    await run("PRAGMA busy_timeout = 50")
    other = await asyncio.create_subprocess_exec(
        "python3",
        "-c",
        "import sqlite3, sys\nc = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "c.execute('BEGIN IMMEDIATE')\nprint('held', flush=True)\nsys.stdin.read()",
        str(database.sqlite_path(opened)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert other.stdout is not None
    assert await other.stdout.readline() == b"held\n"
    with pytest.raises(Unavailable, match="busy"):
        await write_in_transaction()
    await other.communicate(b"")
    await write_in_transaction()


@pytest.mark.parametrize("parts", FILES, indirect=True)
async def test_a_database_that_cannot_be_opened_is_told(parts: Settings) -> None:
    blocked = parts.data_dir / "directory.db"
    blocked.mkdir()
    async with database.connected(parts.model_copy(update={"database_url": Secret(f"sqlite://{blocked}")})):
        for attempt in (database.ping, write_in_transaction):
            with pytest.raises(Unavailable, match="cannot be opened"):
                await asyncio.wait_for(attempt(), 10)


@pytest.mark.parametrize("parts", FILES, indirect=True)
async def test_a_file_that_is_no_database_is_told_and_leaves_no_half_open_connection(parts: Settings) -> None:
    path = database.sqlite_path(parts)
    path.write_text("not a database, " * 1000)
    async with database.connected(parts):
        for attempt in (database.ping, write_in_transaction):
            with pytest.raises(Unavailable, match="is not one"):
                await asyncio.wait_for(attempt(), 10)
        path.unlink()
        [found] = await database.client().execute_query_dict("PRAGMA foreign_keys")
        assert found["foreign_keys"] == 1


@pytest.mark.parametrize("parts", SERVERS, indirect=True)
async def test_a_connection_that_the_server_ends_is_told_and_replaced(opened: Settings) -> None:
    async def alone() -> None:
        await run("SELECT pg_terminate_backend(pg_backend_pid())")

    async def inside() -> None:
        async with in_transaction():
            await run("SELECT 1")
            await alone()

    for _ in range(opened.database_pool + 2):
        for attempt in (inside, alone):
            with pytest.raises(Unavailable, match="does not answer"):
                await asyncio.wait_for(attempt(), 10)
        await database.ping()


@pytest.mark.parametrize("parts", SERVERS, indirect=True)
async def test_a_server_that_is_not_there_is_told(parts: Settings) -> None:
    away = Secret("postgres://me:hunter2@127.0.0.1:9/db")
    async with database.connected(parts.model_copy(update={"database_url": away})):
        for attempt in (database.ping, write_in_transaction):
            with pytest.raises(Unavailable, match="Check that PostgreSQL runs") as raised:
                await asyncio.wait_for(attempt(), 10)
            assert "hunter2" not in raised.value.sentence


@pytest.mark.parametrize("parts", SERVERS, indirect=True)
async def test_a_server_that_knows_neither_the_database_nor_the_user_says_so(parts: Settings) -> None:
    url = parts.database_url.reveal()
    for wrong in (f"{url}-missing", url.replace("//", "//nobody:wrong@", 1) if "@" not in url else url + "x"):
        async with database.connected(parts.model_copy(update={"database_url": Secret(wrong)})):
            with pytest.raises(Unavailable, match="STATEROOM_DATABASE_URL"):
                await database.ping()


@pytest.mark.parametrize("parts", SERVERS, indirect=True)
async def test_a_deadlock_is_a_call_to_try_again(opened: Settings) -> None:
    await run("CREATE TABLE pair (id INT PRIMARY KEY, n INT)")
    await run("INSERT INTO pair VALUES (1, 0), (2, 0)")
    met = asyncio.Barrier(2)

    async def both(first: int, second: int) -> None:
        async with in_transaction():
            await run(f"UPDATE pair SET n = n + 1 WHERE id = {first}")
            await met.wait()
            await run(f"UPDATE pair SET n = n + 1 WHERE id = {second}")

    results = await asyncio.gather(both(1, 2), both(2, 1), return_exceptions=True)
    [refusal] = [result for result in results if result is not None]
    assert isinstance(refusal, Unavailable)
    assert "try again" in refusal.sentence


@pytest.mark.parametrize("url", ["mysql://localhost/x", "stateroom.db", "postgres://[", "postgres://h:port/x"])
def test_a_url_of_another_kind_is_refused_by_name_and_not_shown(tmp_path: Path, url: str) -> None:
    settings = settings_module.load(data_dir=tmp_path, database_url=url)
    with pytest.raises(SettingsError, match="STATEROOM_DATABASE_URL"):
        database.configuration(settings)


async def test_values_of_statements_do_not_reach_the_log_however_much_is_logged(
    opened: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    logging.getLogger().setLevel(logging.DEBUG)
    mark = "?" if database.dialect() == "sqlite" else "$1"
    await run("CREATE TABLE notes (text TEXT)")
    await database.client().execute_query(f"INSERT INTO notes VALUES ({mark})", ["hunter2"])
    assert "hunter2" not in caplog.text


async def test_a_server_that_is_killed_under_many_is_told_to_each_of_them(tmp_path: Path) -> None:
    """Whatever they were at: to begin, a statement, to commit, or to wait for a connection."""
    server, told, is_over = PostgreSQL(), 0, False

    async def use() -> None:
        nonlocal told
        while not is_over:
            try:
                async with in_transaction():
                    await run("SELECT pg_sleep(0.001)")
                await run("SELECT 1")
            except Unavailable:
                told += 1
                await asyncio.sleep(0.01)

    try:
        async with database.connected(settings_module.load(data_dir=tmp_path, database_url=server.url("postgres"))):
            using = [asyncio.ensure_future(use()) for _ in range(25)]
            for _ in range(4):
                await asyncio.sleep(0.2)
                await asyncio.to_thread(server.crash)
            is_over = True
            await asyncio.gather(*using)
            assert told >= 25
            async with in_transaction():
                await run("SELECT 1")
    finally:
        server.stop()

"""The tests' own servers: real ones, each test with its own part of them, gone when pytest is."""

from __future__ import annotations

import asyncio
import datetime
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import asyncpg
import httpx2
import obstore
import pytest
import redis
from obstore import exceptions
from obstore.store import LocalStore, S3Store

from tests.services import Parts, PostgreSQL, Services, Valkey, postgresql
from tests.services.processes import PREFIX, DoesNotStart, Process, scratch

GONE_WITHIN = 20.0


def query(url: str, statement: str) -> object:
    async def ask() -> object:
        connection = await asyncpg.connect(url)
        try:
            if statement.startswith("CREATE"):
                return await connection.execute(statement)
            return await connection.fetchval(statement)
        finally:
            await connection.close()

    return asyncio.run(ask())


def test_each_test_has_an_empty_postgresql_database(services: Services) -> None:
    first, second = services.postgresql.create(), services.postgresql.create()
    query(first, "CREATE TABLE runs ()")
    assert query(first, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 1
    assert query(second, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0


def test_postgresql_refuses_a_wrong_password(services: Services) -> None:
    url = services.postgresql.create()
    scheme, _, rest = url.partition("://")
    user, _, _ = rest.partition(":")
    with pytest.raises(asyncpg.InvalidPasswordError):
        query(f"{scheme}://{user}:wrong@{rest.partition('@')[2]}", "SELECT 1")


def test_postgresql_runs_as_an_ordinary_user(services: Services) -> None:
    assert services.postgresql._process.popen.pid
    status = Path(f"/proc/{services.postgresql._process.popen.pid}/status").read_text()
    uids = next(line for line in status.splitlines() if line.startswith("Uid:")).split()[1:]
    assert "0" not in uids


def test_where_the_machine_has_no_postgresql_the_wheels_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hide_the_machines(monkeypatch, tmp_path)
    server = PostgreSQL()
    try:
        assert query(server.create(), "SHOW server_version") == server.version
        assert Path(f"/proc/{server._process.popen.pid}/exe").resolve().parents[1].name.startswith("pginstall")
    finally:
        server.stop()


def test_postgresql_runs_from_a_checkout_that_only_its_owner_may_enter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hide_the_machines(monkeypatch, tmp_path)
    closed = tmp_path / "closed"
    closed.mkdir(0o700)
    binaries = postgresql._binaries()
    for path in (binaries.parent.parent, binaries.parent.parent.with_suffix(".libs")):
        shutil.copytree(path, closed / path.name, symlinks=True)
    there = closed / binaries.relative_to(binaries.parents[2])
    monkeypatch.setattr(postgresql, "_binaries", lambda: there)
    server = PostgreSQL()
    try:
        assert query(server.create(), "SELECT 1") == 1
    finally:
        server.stop()


def test_where_the_machine_has_no_redis_the_wheels_valkey_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hide_the_machines(monkeypatch, tmp_path)
    server = Valkey(embedded=False)
    try:
        assert server.program == "Valkey"
        with redis.Redis.from_url(server.url) as client:
            assert client.set("key", "value")
    finally:
        server.stop()


def hide_the_machines(monkeypatch: pytest.MonkeyPatch, empty: Path) -> None:
    """Make this look like a machine without servers."""
    monkeypatch.setenv("PATH", str(empty))
    monkeypatch.setattr(postgresql, "DEBIAN", empty)


@pytest.mark.parametrize("parts", ["external"], indirect=True)
def test_a_prepared_postgresql_database_is_made_once_and_copied(parts: Parts, services: Services) -> None:
    prepared: list[str] = []

    def prepare(url: str) -> None:
        prepared.append(url)
        query(url, "CREATE TABLE plans ()")

    first, second = parts.prepared(prepare, "plans"), services.postgresql.copy(prepare, "plans")
    assert len(prepared) == 1
    assert parts.database_url == first
    for url in (first, second):
        assert query(url, "SELECT count(*) FROM plans") == 0
    assert len({*prepared, first, second}) == 3


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
def test_a_prepared_sqlite_database_is_made_once_and_copied(parts: Parts, tmp_path: Path) -> None:
    prepared: list[str] = []

    def prepare(url: str) -> None:
        prepared.append(url)
        Path(url.removeprefix("sqlite://")).write_text("tables")

    first = parts.prepared(prepare, "words")
    Path(first.removeprefix("sqlite://")).write_text("changed")
    second = parts.prepared(prepare, "words")
    assert len(prepared) == 1
    assert Path(second.removeprefix("sqlite://")).read_text() == "tables"


@pytest.mark.parametrize("round_", [1, 2])
def test_each_test_finds_an_empty_queue(parts: Parts, round_: int) -> None:
    with redis.Redis.from_url(parts.redis_url) as client:
        assert client.dbsize() == 0
        client.set("left", round_)


@pytest.mark.parametrize("parts", ["external"], indirect=True)
def test_redis_demands_its_password(parts: Parts) -> None:
    _, _, address = parts.redis_url.rpartition("@")
    with redis.Redis.from_url(f"redis://{address}") as client, pytest.raises(redis.AuthenticationError):
        client.ping()


@pytest.mark.parametrize("round_", [1, 2])
def test_each_test_finds_an_empty_object_store(parts: Parts, services: Services, round_: int) -> None:
    store: LocalStore | S3Store
    options: Any = parts.objects_options
    if parts.name == "external":
        store = S3Store.from_url(parts.objects_url, config=options, client_options={"allow_http": True})
    else:
        store = LocalStore.from_url(parts.objects_url, mkdir=True)
    assert [page for page in obstore.list(store) if page] == []
    obstore.put(store, "left", str(round_).encode())
    assert bytes(obstore.get(store, "left").bytes()) == str(round_).encode()


def test_s3_refuses_a_wrong_secret_and_a_changed_url(services: Services) -> None:
    obstore.put(services.s3.store("signed"), "state", b"{}")
    stranger = services.s3.store(secret="wrong")
    with pytest.raises(exceptions.PermissionDeniedError):
        obstore.get(stranger, "signed/state")
    url = obstore.sign(services.s3.store("signed"), "GET", "state", datetime.timedelta(minutes=1))
    assert httpx2.get(url).content == b"{}"
    assert httpx2.get(url[:-4] + "0000").status_code == 403


def test_s3_keeps_a_condition(services: Services) -> None:
    store = services.s3.store("conditions")
    obstore.put(store, "state", b"1", mode="create")
    with pytest.raises(exceptions.AlreadyExistsError):
        obstore.put(store, "state", b"2", mode="create")


def test_a_server_that_does_not_start_says_why(tmp_path: Path) -> None:
    server = Process("refusing", [sys.executable, "-c", "raise SystemExit('no port left')"], tmp_path)
    with pytest.raises(DoesNotStart, match="no port left"):
        server.wait_until(lambda: False)


STARTS_ALL = """
import sys, time
from tests.services import Services

services = Services()
servers = [services.postgresql, services.embedded_valkey, services.redis, services.s3]
print(*(server._process.popen.pid for server in servers), flush=True)
print(*(server._directory for server in servers), flush=True)
sys.stdin.read()
services.stop()
"""


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"  # nobody may be there to bury it


def descendants(pids: list[int]) -> list[int]:
    found = list(pids)
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[1]) in pids:
            found.append(int(stat.parent.name))
    return found


@pytest.mark.parametrize("ending", ["stopped", "killed"])
def test_nothing_is_left_when_the_tests_end(ending: str) -> None:
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTS_ALL], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert starter.stdout is not None
    pids = [int(word) for word in starter.stdout.readline().split()]
    directories = [Path(word) for word in starter.stdout.readline().split()]
    assert len(pids) == 4
    everybody = descendants(pids)
    assert len(everybody) > 4, "PostgreSQL has children"
    if ending == "killed":
        starter.send_signal(signal.SIGKILL)
    starter.communicate()
    deadline = time.monotonic() + GONE_WITHIN
    while left := [pid for pid in everybody if alive(pid)]:
        assert time.monotonic() < deadline, f"still there: {left}"
        time.sleep(0.05)
    if ending == "killed":
        shutil.rmtree(scratch("next"))
    assert [path for path in directories if path.exists()] == []


def test_the_directory_of_a_living_process_is_left_alone() -> None:
    living = scratch("living")
    subprocess.run([sys.executable, "-c", "from tests.services.processes import scratch; scratch('other')"], check=True)
    assert (living / "owner").exists()
    shutil.rmtree(living)
    shutil.rmtree(scratch("next"))
    assert list(Path(tempfile.gettempdir()).glob(f"{PREFIX}other-*")) == []

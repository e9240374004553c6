"""Both databases for the tests of this directory, without the models of the domain."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from app import settings as settings_module
from app.settings import Settings
from app.storage import database


def wait_for_port(port: int, server: subprocess.Popen[Any]) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            assert server.poll() is None, "the server ended"
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.05)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    base = Path(tempfile.mkdtemp(prefix="pg"))
    user = 65534 if os.getuid() == 0 else None
    if user:
        os.chown(base, user, user)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    run: dict[str, Any] = {"user": user, "group": user, "cwd": base} if user else {"cwd": base}
    subprocess.run(
        ["initdb", "-D", "data", "-U", "postgres", "-A", "trust", "-N"],
        check=True,
        capture_output=True,
        **run,
    )
    server = subprocess.Popen(
        ["postgres", "-D", "data", "-p", str(port), "-k", str(base), "-c", "fsync=off"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        **run,
    )
    wait_for_port(port, server)
    yield f"postgres://postgres@127.0.0.1:{port}"
    server.terminate()
    server.wait(20)
    shutil.rmtree(base)


@pytest.fixture(scope="session")
def admin_url(postgres_server: str) -> str:
    return f"{postgres_server}/postgres"


@pytest.fixture(params=["sqlite", "postgresql"])
async def parts(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Settings]:
    """Settings with an empty database of either kind, not yet connected."""
    monkeypatch.setattr(database, "model_modules", lambda: ["app.storage.models"])
    if request.param == "sqlite":
        yield settings_module.load(data_dir=tmp_path)
        return
    import asyncpg

    name = f"test_{os.getpid()}_{time.monotonic_ns()}"
    admin = await asyncpg.connect(request.getfixturevalue("admin_url"))
    await admin.execute(f"CREATE DATABASE {name}")
    yield settings_module.load(data_dir=tmp_path, database_url=f"{request.getfixturevalue('postgres_server')}/{name}")
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await admin.close()


@pytest.fixture
async def opened(parts: Settings) -> AsyncIterator[Settings]:
    await database.connect(parts)
    yield parts
    await database.close()


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_for_port(port, server)
    yield f"http://127.0.0.1:{port}"
    server.terminate()
    server.wait(20)


@pytest.fixture(params=["files", "s3"])
def objects_settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Settings with an empty object store of either kind."""
    if request.param == "files":
        return settings_module.load(data_dir=tmp_path)
    bucket = f"bucket{time.monotonic_ns()}"
    endpoint = request.getfixturevalue("s3_server")
    httpx2.put(f"{endpoint}/{bucket}").raise_for_status()
    options = {"endpoint": endpoint, "region": "us-east-1", "access_key_id": "a", "secret_access_key": "b"}
    return settings_module.load(data_dir=tmp_path, objects_url=f"s3://{bucket}/pre/fix", objects_options=options)

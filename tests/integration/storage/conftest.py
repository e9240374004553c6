"""Both databases for the tests of this directory, without the models of the domain."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from app import settings as settings_module
from app.settings import Settings
from app.storage import database


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    base = Path(tempfile.mkdtemp(prefix="pg"))
    user = 65534 if os.getuid() == 0 else None
    if user:
        os.chown(base, user, user)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    run = {"user": user, "group": user, "cwd": base} if user else {"cwd": base}
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
    deadline = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            break
        except OSError:
            assert server.poll() is None, "postgres ended"
            assert time.monotonic() < deadline, "postgres did not start"
            time.sleep(0.05)
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
    yield settings_module.load(
        data_dir=tmp_path, database_url=f"{request.getfixturevalue('postgres_server')}/{name}"
    )
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await admin.close()


@pytest.fixture
async def opened(parts: Settings) -> AsyncIterator[Settings]:
    await database.connect(parts)
    yield parts
    await database.close()

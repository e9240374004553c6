"""The database file beside the data."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from app import settings
from app.storage import database


@pytest.fixture
def generous_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def modes(directory: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()}


@pytest.mark.usefixtures("generous_umask")
async def test_a_new_sqlite_database_is_its_owners_alone(tmp_path: Path) -> None:
    async with database.connected(settings.load(data_dir=tmp_path)):
        await database.client().execute_script("CREATE TABLE one (id INTEGER); INSERT INTO one VALUES (1);")
        made = modes(tmp_path)
    assert len(made) == 3
    assert set(made.values()) == {0o600}, made

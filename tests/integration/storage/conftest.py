"""Both sets of parts for the tests of this directory, without the models of the domain."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app import settings as settings_module
from app.settings import Settings
from app.storage import database
from tests.services import Parts


@pytest.fixture
def parts(parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings with an empty database and an empty object store of either kind, not yet connected."""
    monkeypatch.setattr(database, "model_modules", lambda: ["app.storage.models"])
    return settings_module.load(
        data_dir=tmp_path,
        database_url=parts.database_url,
        redis_url=parts.redis_url,
        objects_url=parts.objects_url,
        objects_options=parts.objects_options,
    )


@pytest.fixture
async def opened(parts: Settings) -> AsyncIterator[Settings]:
    await database.connect(parts)
    yield parts
    await database.close()

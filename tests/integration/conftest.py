"""A migrated database, keys and objects of a test's own, on each set of parts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app import events, wiring
from app import settings as settings_module
from app.settings import Settings
from app.storage import database, keys, objects
from tests.migrated import migrated
from tests.services import Parts


@pytest.fixture
def settings(parts: Parts, tmp_path: Path) -> Settings:
    return settings_module.load(
        data_dir=tmp_path,
        database_url=parts.prepared(migrated, "migrated"),
        objects_url=parts.objects_url,
        objects_options=parts.objects_options,
    )


@pytest.fixture
async def opened(settings: Settings) -> AsyncIterator[Settings]:
    """The domain without a surface: what happens is told as always, and nothing serves."""
    async with database.connected(settings):
        await keys.open_ring(settings)
        objects.connect(settings)
        wiring.connect()
        yield settings
        objects.close()
        keys.use(None)
    for announcement in (events.run_moved, events.run_wished, events.workspace_freed, events.state_changed):
        announcement.forget()

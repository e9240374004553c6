"""The schema that the migrations make, beside what is expected of it, on both databases.

`schema.json` is the expected list.  After a migration write it anew from one database, read the difference, and let
this test say whether the other agrees: `python -m tests.integration.test_schema`.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from pathlib import Path

import pytest
from tortoise import Tortoise

from app import settings as settings_module
from app.storage import database, migrating, schema

EXPECTED = Path(__file__).with_name("schema.json")


@pytest.mark.usefixtures("opened")
async def test_the_migrations_make_the_expected_indexes_and_rules() -> None:
    assert schema.differences(json.loads(EXPECTED.read_text()), await schema.describe()) == []


@pytest.mark.usefixtures("opened")
async def test_every_index_that_a_model_asks_for_is_there() -> None:
    described = await schema.describe()
    for model in Tortoise.apps["models"].values():
        table = described[model._meta.db_table]
        for index in model._meta.indexes:
            fields = index if isinstance(index, tuple | list) else index.fields
            assert ", ".join(fields) in table["indexes"], (model.__name__, fields)


async def _write() -> None:
    with tempfile.TemporaryDirectory() as place:
        settings = settings_module.load(data_dir=place)
        async with database.connected(settings):
            await migrating.migrate(settings)
            EXPECTED.write_text(json.dumps(await schema.describe(), indent=1) + "\n")


if __name__ == "__main__":
    asyncio.run(_write())

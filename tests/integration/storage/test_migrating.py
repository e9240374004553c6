"""Migrations, and what the schema looks like after them, on both databases."""

from __future__ import annotations

import asyncio
import importlib
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tortoise.exceptions import IntegrityError, OperationalError

from app.settings import Settings
from app.storage import database, migrating, schema

MODELS = """
from functools import partial
from tortoise import fields
from tortoise.indexes import Index
from tortoise.models import Model
from app import clock, ids

class Keeper(Model):
    id = fields.CharField(primary_key=True, max_length=32, default=ids.maker("user"))
    name = fields.CharField(max_length=64, unique=True)
    mood = fields.TextField(null=True)
    class Meta:
        table = "keepers"

class Animal(Model):
    id = fields.IntField(primary_key=True)
    keeper = fields.ForeignKeyField("models.Keeper", related_name="animals", db_index=True)
    species = fields.CharField(max_length=32, description="cat; or dog, it's said")
    is_tame = fields.BooleanField(default=False)
    weight = fields.BigIntField()
    notes = fields.JSONField(default=dict)
    picture = fields.BinaryField(null=True)
    born_at = fields.DatetimeField(default=clock.now)
    class Meta:
        table = "animals"
        indexes = (Index(fields=("species", "born_at")),)
        unique_together = (("keeper", "species"),)

class Passport(Model):
    animal = fields.OneToOneField("models.Animal", related_name="passport", primary_key=True)
    class Meta:
        table = "passports"
"""

RULES = """
from tortoise import migrations
from app.storage.constraints import check, index, unique

class Migration(migrations.Migration):
    dependencies = [("models", "0001_zoo")]
    operations = [
        unique("one_favourite", "animals", "keeper_id", where="species = 'cat' AND weight IS NOT NULL"),
        index("heaviest", "animals", "weight DESC"),
        check("weight_positive", "animals", "{weight} > 0 AND {species} IN ('cat', 'dog')"),
    ]
"""

BROKEN = """
from tortoise import migrations
from tortoise.migrations import operations as ops

class Migration(migrations.Migration):
    dependencies = [("models", "0002_rules")]
    operations = [
        ops.RunSQL("CREATE TABLE half (id INT); CREATE TABLE half_too (id INT)"),
        ops.RunSQL("SELECT nothing FROM nowhere"),
    ]
"""

ANIMALS = {
    "columns": {
        "id": ["integer", "not null"],
        "species": ["text(32)", "not null"],
        "is_tame": ["integer", "not null"],
        "weight": ["integer", "not null"],
        "notes": ["json", "not null"],
        "picture": ["bytes", "null"],
        "born_at": ["time", "not null"],
        "keeper_id": ["text(32)", "not null"],
    },
    "primary_key": ["id"],
    "unique": ["keeper_id where species = 'cat' and weight is not null", "keeper_id, species"],
    "indexes": ["keeper_id", "species, born_at", "weight desc"],
    "foreign_keys": ["keeper_id -> keepers.id cascade"],
    "checks": ["weight_positive"],
}


@pytest.fixture
async def zoo(parts: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Path]:
    """An empty package for migrations of two models; the database is connected."""
    name = f"zoo_{os.getpid()}_{id(parts)}"
    package = tmp_path / name
    package.mkdir()
    (package / "__init__.py").write_text("")
    (tmp_path / f"{name}_models.py").write_text(MODELS)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(database, "MIGRATIONS", name)
    monkeypatch.setattr(database, "model_modules", lambda: [f"{name}_models"])
    await database.connect(parts)
    yield package
    await database.close()


async def write_all(zoo: Path) -> None:
    await migrating.make("zoo")
    (zoo / "0002_rules.py").write_text(RULES)
    importlib.invalidate_caches()


async def test_a_schema_comes_out_the_same_on_both_databases(zoo: Path, parts: Settings) -> None:
    await write_all(zoo)
    seen: list[str] = []
    assert await migrating.migrate(parts, applying=seen.append) == seen == ["0001_zoo", "0002_rules"]
    found = await schema.describe()
    assert schema.differences(found | {"animals": ANIMALS}, found) == []
    assert found["keepers"]["unique"] == ["name"]
    assert await migrating.migrate(parts) == []
    await migrating.check(parts)
    assert schema.differences({"animals": ANIMALS | {"indexes": ["keeper_id"]}}, {"animals": ANIMALS}) == [
        "unexpected: animals indexes: species, born_at",
        "unexpected: animals indexes: weight desc",
    ]


async def test_models_that_were_migrated_need_no_further_migration(zoo: Path, parts: Settings) -> None:
    await write_all(zoo)
    assert await migrating.make("nothing") is None
    path = await migrating.make("by hand", empty=True)
    assert path is not None
    assert path.name == "0003_by_hand.py"


async def test_rules_are_kept_by_the_database(zoo: Path, parts: Settings) -> None:
    await write_all(zoo)
    await migrating.migrate(parts)
    run = database.client().execute_query
    time = "'2026-01-02 03:04:05+00'"
    await run("INSERT INTO keepers (id, name) VALUES ('k', 'Ann')")
    columns = "INSERT INTO animals (id, keeper_id, species, is_tame, weight, notes, born_at) VALUES"
    yes = "'1'" if database.dialect() == "postgres" else "1"
    await run(f"{columns} (1, 'k', 'cat', {yes}, 1, '{{}}', {time})")
    for wrong in (
        f"{columns} (2, 'k', 'dog', {yes}, 0, '{{}}', {time})",
        f"{columns} (2, 'k', 'cat', {yes}, 5, '{{}}', {time})",
        f"{columns} (2, 'nobody', 'dog', {yes}, 5, '{{}}', {time})",
        "UPDATE animals SET weight = -1",
        "UPDATE animals SET species = 'bird'",
    ):
        with pytest.raises(IntegrityError):
            await run(wrong)


async def test_a_migration_that_fails_leaves_nothing_behind(zoo: Path, parts: Settings) -> None:
    await write_all(zoo)
    await migrating.migrate(parts)
    before = await schema.describe()
    (zoo / "0003_broken.py").write_text(BROKEN)
    importlib.invalidate_caches()
    with pytest.raises(OperationalError):
        await migrating.migrate(parts)
    assert await schema.describe() == before
    with pytest.raises(migrating.OutdatedDatabase, match="0003_broken"):
        await migrating.check(parts)
    (zoo / "0003_broken.py").unlink()
    importlib.invalidate_caches()
    assert await migrating.migrate(parts) == []


async def test_a_database_of_a_newer_version_is_refused(zoo: Path, parts: Settings) -> None:
    await write_all(zoo)
    await migrating.migrate(parts)
    (zoo / "0002_rules.py").unlink()
    importlib.invalidate_caches()
    for attempt in (migrating.migrate, migrating.check):
        with pytest.raises(migrating.NewerDatabase, match="0002_rules"):
            await attempt(parts)


async def test_making_a_table_anew_keeps_the_rows_that_refer_to_it(zoo: Path, parts: Settings) -> None:
    await write_all(zoo)
    await migrating.migrate(parts)
    run = database.client().execute_query
    yes = "'1'" if database.dialect() == "postgres" else "1"
    await run("INSERT INTO keepers (id, name, mood) VALUES ('k', 'Ann', 'fine')")
    await run(
        "INSERT INTO animals (id, keeper_id, species, is_tame, weight, notes, born_at) "
        f"VALUES (1, 'k', 'cat', {yes}, 1, '{{}}', '2026-01-02 03:04:05+00')"
    )
    (zoo / "0003_no_mood.py").write_text(
        "from tortoise import migrations\nfrom tortoise.migrations import operations as ops\n\n"
        "class Migration(migrations.Migration):\n"
        "    dependencies = [('models', '0002_rules')]\n"
        "    operations = [ops.RemoveField(model_name='Keeper', name='mood')]\n"
    )
    importlib.invalidate_caches()
    await migrating.migrate(parts)
    assert (await run("SELECT id FROM animals"))[0] == 1
    assert "mood" not in (await schema.describe())["keepers"]["columns"]
    with pytest.raises(IntegrityError):
        await run("UPDATE animals SET keeper_id = 'nobody'")


FILLING = """
from tortoise import migrations
from tortoise.migrations import operations as ops

async def fatten(apps, editor):
    Animal = apps.get_model("models.Animal")
    await Animal.filter(keeper__name="Ann").update(weight=9)
    assert [animal.keeper.name for animal in await Animal.all().select_related("keeper")] == ["Ann"]

class Migration(migrations.Migration):
    dependencies = [("models", "0002_rules")]
    operations = [ops.RunPython(fatten)]
"""


async def test_the_code_of_a_migration_queries_the_models_of_its_time(zoo: Path, parts: Settings) -> None:
    await write_all(zoo)
    await migrating.migrate(parts)
    run = database.client().execute_query
    yes = "'1'" if database.dialect() == "postgres" else "1"
    await run("INSERT INTO keepers (id, name) VALUES ('k', 'Ann')")
    await run(
        "INSERT INTO animals (id, keeper_id, species, is_tame, weight, notes, born_at) "
        f"VALUES (1, 'k', 'cat', {yes}, 1, '{{}}', '2026-01-02 03:04:05+00')"
    )
    (zoo / "0003_filling.py").write_text(FILLING)
    importlib.invalidate_caches()
    assert await migrating.migrate(parts) == ["0003_filling"]
    assert [row["weight"] for row in await database.client().execute_query_dict("SELECT weight FROM animals")] == [9]


MIGRATE = """
import asyncio, sys
from app import settings
from app.storage import database, migrating

async def main():
    database.MIGRATIONS = sys.argv[3]
    database.model_modules = lambda: [sys.argv[3] + "_models"]
    configured = settings.load(data_dir=sys.argv[1], database_url=sys.argv[2])
    async with database.connected(configured):
        print(*await migrating.migrate(configured))

asyncio.run(main())
"""


async def test_of_several_servers_that_start_at_once_one_migrates(zoo: Path, parts: Settings) -> None:
    await write_all(zoo)
    arguments = [str(parts.data_dir), parts.database_url.reveal(), zoo.name]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([os.getcwd(), str(zoo.parent)])}
    servers = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", MIGRATE, *arguments, env=environment, stdout=asyncio.subprocess.PIPE
        )
        for _ in range(4)
    ]
    outputs = [out.decode().strip() for out, _ in await asyncio.gather(*(s.communicate() for s in servers))]
    assert [server.returncode for server in servers] == [0] * 4
    assert sorted(outputs) == ["", "", "", "0001_zoo 0002_rules"]

"""Bringing the database's schema up to date.

All that is missing is applied in one transaction together with its record, so a server killed in between
begins again, and only one server does it.  A database that a newer version has migrated is refused.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tortoise.context import TortoiseContext
from tortoise.migrations.autodetector import MigrationAutodetector
from tortoise.migrations.executor import MigrationExecutor
from tortoise.migrations.graph import MigrationKey
from tortoise.migrations.operations import AlterModelOptions
from tortoise.migrations.schema_editor import BaseSchemaEditor, SqliteSchemaEditor
from tortoise.migrations.schema_generator.state import State
from tortoise.migrations.writer import MigrationWriter, format_migration_name

from app.errors import Conflict
from app.settings import Settings, SettingsError
from app.settings import load as load_settings
from app.storage import database, migration_states
from app.wording import counted


class NewerDatabase(Conflict):
    """A newer version of Stateroom has changed this database: its rows may mean what we do not know."""


class OutdatedDatabase(Conflict):
    """Migrations are missing."""


async def migrate(settings: Settings, *, applying: Callable[[str], None] = lambda name: None) -> list[str]:
    """Apply what is missing to the connected database and give the names.  Calls *applying* before each."""
    done: list[str] = []

    def progress(event: str, label: str, name: str) -> None:
        if event == "apply_start":
            applying(name)
            done.append(name)

    async with _alone(settings), _without_foreign_keys(), database.in_transaction() as connection:
        await database.lock("migrations")
        executor = await _executor(connection, settings)
        await _refuse_newer(executor)
        await executor.migrate(progress=progress)
        await _check_foreign_keys()
    return done


async def check(settings: Settings) -> None:
    """Raise if the connected database is not exactly as new as this program."""
    async with database.in_transaction() as connection:
        executor = await _executor(connection, settings)
        await _refuse_newer(executor)
        missing = [step.migration.name for step in await executor.plan()]
    if missing:
        raise OutdatedDatabase(
            f"The database lacks {counted(len(missing), 'migration')}, {missing[0]} first. Run `stateroom migrate`."
        )


async def make(name: str, *, empty: bool = False) -> Path | None:
    """Write the migration from what the migrations say to what the models say; None if there is nothing to
    do."""
    configuration = database.configuration(load_settings(database_url="sqlite://:memory:"))
    with TortoiseContext() as context:
        await context.init(configuration, init_connections=False)
        assert context.apps is not None
        detector = MigrationAutodetector(context.apps, configuration["apps"])
        writers = await detector.changes()
        if empty:
            writers = [_empty_writer(detector)]
    for writer in writers:
        # It never touches the database, and a model whose key is a relation would get one each time.
        writer.operations = [step for step in writer.operations if not isinstance(step, AlterModelOptions)]
    writers = [writer for writer in writers if writer.operations or empty]
    if not writers:
        return None
    [writer] = writers
    writer.name = format_migration_name(int(writer.name.split("_", 1)[0]), name)
    return writer.write()


def _empty_writer(detector: MigrationAutodetector) -> MigrationWriter:
    leaves = sorted((key.app_label, key.name) for key in detector._leaf_nodes(database.LABEL))
    number = 1 + max((int(name.split("_", 1)[0]) for _, name in leaves), default=0)
    return MigrationWriter(
        f"{number:04d}_empty", database.LABEL, [], dependencies=leaves, migrations_module=database.MIGRATIONS
    )


class SqliteEditor(SqliteSchemaEditor):
    """Lets the engine cut scripts into statements: Tortoise's own way cuts comments at semicolons, too."""

    async def _run_sql(self, sql: str) -> None:
        if self.collect_sql:
            await super()._run_sql(sql)
        else:
            await self.client.execute_script(sql)


class Executor(MigrationExecutor):
    def _schema_editor(self, atomic: bool = True, collect_sql: bool = False) -> BaseSchemaEditor:
        if self.connection.capabilities.dialect == "sqlite":
            return SqliteEditor(self.connection, atomic=atomic, collect_sql=collect_sql)
        return super()._schema_editor(atomic, collect_sql)

    async def _project_state(self, applied: set[MigrationKey], *, upto: MigrationKey | None = None) -> State:
        state = migration_states.empty(
            {label: app["default_connection"] for label, app in self.loader.apps_config.items()}
        )
        for key in self._full_plan():
            if key == upto:
                break
            if key in applied:
                migration = self.loader.graph.nodes[key]
                assert migration is not None
                await migration.apply(state, dry_run=True)
        return state


async def _executor(connection: Any, settings: Settings) -> MigrationExecutor:
    executor = Executor(connection, database.configuration(settings)["apps"])
    # Its first question would fail without the table, and a failed question ends PostgreSQL's transaction.
    await executor.recorder.ensure_schema(executor._schema_editor(atomic=False))
    await executor.loader.build_graph()
    return executor


async def _refuse_newer(executor: MigrationExecutor) -> None:
    applied = await executor.recorder.applied_migrations()
    unknown = sorted(key.name for key in applied if key not in executor.loader.graph.nodes)
    if unknown:
        raise NewerDatabase(
            f"The database was migrated by a newer version of Stateroom ({unknown[-1]} is unknown here). Install that "
            "version again, or restore a backup made before; nothing was changed."
        )


@asynccontextmanager
async def _alone(settings: Settings) -> AsyncIterator[None]:
    """Wait for other processes that migrate the same SQLite file, longer than SQLite itself would."""
    if not database.is_sqlite(settings) or ":memory:" in settings.database_url.reveal():
        yield
        return
    path = database.sqlite_path(settings)
    try:
        descriptor = os.open(path.with_name(path.name + ".migrating"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise SettingsError(f"Nothing can be written in {path.parent}: {error.strerror}.") from error
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                await asyncio.sleep(0.05)
        yield
    finally:
        os.close(descriptor)


@asynccontextmanager
async def _without_foreign_keys() -> AsyncIterator[None]:
    """SQLite changes a table by making it anew and dropping the old one, which would take its children
    along."""
    if database.dialect() != "sqlite":
        yield
        return
    await database.client().execute_script("PRAGMA foreign_keys=OFF")
    try:
        yield
    finally:
        await database.client().execute_script("PRAGMA foreign_keys=ON")


async def _check_foreign_keys() -> None:
    if database.dialect() == "sqlite":
        broken = await database.client().execute_query_dict("PRAGMA foreign_key_check")
        if broken:
            raise RuntimeError(f"a migration left rows of {broken[0]['table']} without {broken[0]['parent']}")


def main(arguments: list[str]) -> int:
    """``python -m app.storage.migrating make NAME [--empty]``: for who works on Stateroom."""
    names = [argument for argument in arguments[1:] if not argument.startswith("-")]
    if arguments[:1] != ["make"] or len(names) != 1 or set(arguments[1:]) - {*names, "--empty"}:
        print(main.__doc__, file=sys.stderr)
        return 2
    path = asyncio.run(make(names[0], empty="--empty" in arguments))
    print(f"wrote {path}" if path else "The models say nothing new.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

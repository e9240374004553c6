"""Rules of the schema that Tortoise's models cannot say, for migrations of their own.

Constraints in a model's Meta are silently left out when its table is made, and SQLite cannot add a check to
a table that exists.  So each rule is an operation of a migration that holds nothing else:

class Migration(migrations.Migration): dependencies = [("models", "0001_initial")] operations = [
unique("one_open_job", "jobs", "run_id", "phase", where="closed_at IS NULL"), check("size_not_negative",
"stored_objects", "{size} >= 0"), ]

Removing or altering a column rebuilds the table on SQLite, which drops these rules: say them again in that
migration, or let `drop_column` do it. The test of the schema notices when one is gone.
"""

from __future__ import annotations

from typing import Any

from tortoise.migrations.operations import RemoveField, RunSQL


def unique(name: str, table: str, *columns: str, where: str | None = None) -> RunSQL:
    """No two rows (that fulfil *where*) agree in all *columns*.  Write *where* so that both engines read
    it."""
    return _index("UNIQUE INDEX", name, table, columns, where)


def index(name: str, table: str, *columns: str, where: str | None = None) -> RunSQL:
    """An index over *columns* (``"created_at DESC"`` is one too) of the rows that fulfil *where*."""
    return _index("INDEX", name, table, columns, where)


class check(RunSQL):
    """Every row of *table* fulfils *condition*, in which each column is written ``{column}``.

    On SQLite two triggers see to it, which call the row's columns by another name.
    """

    def __init__(self, name: str, table: str, condition: str) -> None:
        super().__init__(sql="", reverse_sql="")
        self.name, self.table, self.condition = name, table, condition

    async def database_forward(self, app_label: str, old: Any, new: Any, state_editor: Any = None) -> None:
        if state_editor:
            await state_editor._run_sql(self._add(state_editor.DIALECT))

    async def database_backward(self, app_label: str, old: Any, new: Any, state_editor: Any = None) -> None:
        if state_editor:
            await state_editor._run_sql(self._drop(state_editor.DIALECT))

    def _add(self, dialect: str) -> str:
        if dialect == "postgres":
            condition = self.condition.replace("{", '"').replace("}", '"')
            return f'ALTER TABLE "{self.table}" ADD CONSTRAINT "{self.name}" CHECK ({condition});'
        condition = self.condition.replace("{", 'NEW."').replace("}", '"')
        return "\n".join(
            f'CREATE TRIGGER "{self.name}_{verb.lower()}" BEFORE {verb} ON "{self.table}" WHEN NOT ({condition}) '
            f"BEGIN SELECT RAISE(ABORT, 'CHECK constraint failed: {self.name}'); END;"
            for verb in ("INSERT", "UPDATE")
        )

    def _drop(self, dialect: str) -> str:
        if dialect == "postgres":
            return f'ALTER TABLE "{self.table}" DROP CONSTRAINT "{self.name}";'
        return f'DROP TRIGGER "{self.name}_insert"; DROP TRIGGER "{self.name}_update";'


class drop_column(RemoveField):
    """Remove a column that no index or rule names, without the rebuilding that loses those of the others on SQLite."""

    async def database_forward(self, app_label: str, old: Any, new: Any, state_editor: Any = None) -> None:
        if state_editor:
            table = old.apps.get_model(f"{app_label}.{self.model_name}")._meta.db_table
            await state_editor._run_sql(f'ALTER TABLE "{table}" DROP COLUMN "{self.name}";')


def _index(kind: str, name: str, table: str, columns: tuple[str, ...], where: str | None) -> RunSQL:
    listed = ", ".join(columns)
    condition = f" WHERE {where}" if where else ""
    return RunSQL(f'CREATE {kind} "{name}" ON "{table}" ({listed}){condition}', f'DROP INDEX "{name}"')

"""What the database really looks like, in one form for both engines.

For the test that compares it with what is expected: a migration may leave out an index or a rule without a
word.
"""

from __future__ import annotations

import re
from typing import Any

from app.storage import database

Schema = dict[str, dict[str, Any]]

#: Tables of the tools, not ours.
FOREIGN = ("tortoise_migrations", "sqlite_sequence")

KINDS = (
    (r"(var)?char(acter varying)?\((\d+)\)", r"text(\3)"),
    (r"(text|character varying)", "text"),
    (r"(smallint|bigint|integer|int|boolean|bool)", "integer"),
    (r"jsonb?", "json"),
    (r"(bytea|blob)", "bytes"),
    (r"timestamp.*", "time"),
    (r"(real|double precision|float)", "real"),
    (r"date", "date"),
)


async def describe() -> Schema:
    """Every table by name: ``columns`` ({name: [kind, "null" or "not null"]}), ``primary_key``, ``unique``
    and ``indexes`` (each "column, column where condition"), ``foreign_keys`` and ``checks`` (by name)."""
    tables = await (_sqlite() if database.dialect() == "sqlite" else _postgres())
    return {name: tables[name] for name in sorted(tables) if name not in FOREIGN}


def differences(expected: Schema, actual: Schema) -> list[str]:
    """One line for each thing that one has and the other has not."""
    one, two = set(_lines(expected)), set(_lines(actual))
    return sorted([f"missing: {line}" for line in one - two] + [f"unexpected: {line}" for line in two - one])


def _lines(schema: Schema) -> list[str]:
    lines = []
    for table, parts in schema.items():
        for part, content in parts.items():
            items = content.items() if isinstance(content, dict) else content
            lines += [f"{table} {part}: {item}" for item in items]
    return lines


async def _rows(sql: str) -> list[dict[str, Any]]:
    return [dict(row) for row in await database.client().execute_query_dict(sql)]


def _kind(declared: str) -> str:
    text = declared.lower().strip()
    return next((re.sub(f"^{shape}$", kind, text) for shape, kind in KINDS if re.fullmatch(shape, text)), text)


def condition(sql: str | None) -> str:
    """A condition without what the engines write differently: casts, brackets, quotes, case, spaces."""
    text = re.sub(r"::[a-z ]+(\(\d+\))?(\[\])?", "", (sql or "").lower())
    text = re.sub(r"= any \(*array\[(.*?)\]\)*", r"in \1", text)
    text = text.replace("!=", "<>")
    return re.sub(r"\s+", " ", re.sub(r'[()"]', " ", text)).replace(" ,", ",").strip()


def _listed(columns: list[str], where: str | None) -> str:
    return ", ".join(columns) + (f" where {condition(where)}" if where else "")


def _empty() -> dict[str, Any]:
    return {"columns": {}, "primary_key": [], "unique": [], "indexes": [], "foreign_keys": [], "checks": []}


async def _sqlite() -> Schema:
    tables: Schema = {}
    for row in await _rows("SELECT name FROM sqlite_master WHERE type = 'table'"):
        tables[row["name"]] = await _sqlite_table(row["name"])
    for row in await _rows("SELECT name, tbl_name FROM sqlite_master WHERE type = 'trigger' AND name LIKE '%_insert'"):
        tables[row["tbl_name"]]["checks"].append(row["name"].removesuffix("_insert"))
    return {name: _sorted(table) for name, table in tables.items()}


async def _sqlite_table(name: str) -> dict[str, Any]:
    table = _empty()
    columns = await _rows(f'PRAGMA table_info("{name}")')
    for column in columns:
        null = "not null" if column["notnull"] or column["pk"] else "null"
        table["columns"][column["name"]] = [_kind(column["type"]), null]
    keys = sorted((column["pk"], column["name"]) for column in columns if column["pk"])
    table["primary_key"] = [key for _, key in keys]
    sources = {row["name"]: row["sql"] for row in await _rows("SELECT name, sql FROM sqlite_master")}
    for index in await _rows(f'PRAGMA index_list("{name}")'):
        if index["origin"] != "pk":
            parts = await _rows(f'PRAGMA index_xinfo("{index["name"]}")')
            listed = [p["name"] + (" desc" if p["desc"] else "") for p in parts if p["key"]]
            where = re.split(r"\swhere\s", sources.get(index["name"]) or "", maxsplit=1, flags=re.I)[1:]
            table["unique" if index["unique"] else "indexes"].append(_listed(listed, where[0] if where else None))
    for key in await _rows(f'PRAGMA foreign_key_list("{name}")'):
        table["foreign_keys"].append(f"{key['from']} -> {key['table']}.{key['to']} {key['on_delete'].lower()}")
    return table


POSTGRES_COLUMNS = """ SELECT c.relname AS table, a.attname AS name, format_type(a.atttypid, a.atttypmod) AS
type, a.attnotnull AS notnull FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid WHERE c.relkind =
'r' AND c.relnamespace = current_schema()::regnamespace AND a.attnum > 0 AND NOT a.attisdropped ORDER BY
c.relname, a.attnum
"""
POSTGRES_INDEXES = """ SELECT c.relname AS table, i.indisunique AS unique, i.indisprimary AS primary,
pg_get_expr(i.indpred, i.indrelid) AS where, ARRAY(SELECT pg_get_indexdef(i.indexrelid, n, true) || CASE
WHEN i.indoption[n - 1] & 1 = 1 THEN ' desc' ELSE '' END FROM generate_series(1, i.indnkeyatts::int) n ORDER
BY n) AS columns FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid WHERE c.relnamespace =
current_schema()::regnamespace AND c.relkind = 'r'
"""
POSTGRES_CONSTRAINTS = """ SELECT c.relname AS table, k.conname AS name, k.contype::text AS type, f.relname
AS other, k.confdeltype::text AS on_delete, ARRAY(SELECT attname FROM pg_attribute WHERE attrelid =
k.conrelid AND attnum = ANY(k.conkey)) AS columns, ARRAY(SELECT attname FROM pg_attribute WHERE attrelid =
k.confrelid AND attnum = ANY(k.confkey)) AS others FROM pg_constraint k JOIN pg_class c ON c.oid =
k.conrelid LEFT JOIN pg_class f ON f.oid = k.confrelid WHERE c.relnamespace = current_schema()::regnamespace
AND k.contype IN ('c', 'f')
"""
ON_DELETE = {"a": "no action", "r": "restrict", "c": "cascade", "n": "set null", "d": "set default"}


async def _postgres() -> Schema:
    tables: Schema = {}
    for row in await _rows(POSTGRES_COLUMNS):
        table = tables.setdefault(row["table"], _empty())
        table["columns"][row["name"]] = [_kind(row["type"]), "not null" if row["notnull"] else "null"]
    for row in await _rows(POSTGRES_INDEXES):
        columns = [column.strip('"') for column in row["columns"]]
        if row["primary"]:
            tables[row["table"]]["primary_key"] = columns
        else:
            tables[row["table"]]["unique" if row["unique"] else "indexes"].append(_listed(columns, row["where"]))
    for row in await _rows(POSTGRES_CONSTRAINTS):
        if row["type"] == "c":
            tables[row["table"]]["checks"].append(row["name"])
        else:
            pair = f"{', '.join(row['columns'])} -> {row['other']}.{', '.join(row['others'])}"
            tables[row["table"]]["foreign_keys"].append(f"{pair} {ON_DELETE[row['on_delete']]}")
    return {name: _sorted(table) for name, table in tables.items()}


def _sorted(table: dict[str, Any]) -> dict[str, Any]:
    return table | {part: sorted(table[part]) for part in ("unique", "indexes", "foreign_keys", "checks")}

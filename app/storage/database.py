"""The database: SQLite beside the data, or PostgreSQL by URL.

The models need no list: every ``models.py`` below `app` and `github_app` belongs to the one app label
``models``.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import tortoise.context
from tortoise.backends.base.client import BaseDBAsyncClient, TransactionalDBClient
from tortoise.backends.base.config_generator import expand_db_url
from tortoise.backends.base.executor import EXECUTOR_CACHE
from tortoise.connection import get_connection
from tortoise.context import TortoiseContext
from tortoise.exceptions import ConfigurationError
from tortoise.transactions import in_transaction
from tortoise.utils import generate_schema_for_client

from app.settings import Settings, SettingsError
from app.storage.engines import comparing

__all__ = ["close", "configuration", "connect", "connected", "dialect", "in_transaction", "lock", "ping"]

PACKAGES = ("app", "github_app")
LABEL = "models"
CONNECTION = "default"
MIGRATIONS = "migrations"

#: The driver's own defaults: wait 5 s, sync every commit.  With WAL, NORMAL loses nothing when a process
#: dies; a power cut may lose the last commits, never the file.  The wait is first: setting WAL may need it.
PRAGMAS = {"busy_timeout": 10_000, "journal_mode": "WAL", "synchronous": "NORMAL", "foreign_keys": "ON"}


def configuration(settings: Settings) -> dict[str, Any]:
    """What Tortoise and its migrations want to know."""
    return {
        "connections": {CONNECTION: _connection(settings.database_url.reveal(), settings.database_pool)},
        "apps": {LABEL: {"models": model_modules(), "default_connection": CONNECTION, "migrations": MIGRATIONS}},
        "use_tz": True,
        "timezone": "UTC",
    }


async def connect(settings: Settings) -> None:
    """Open the database for this process: every task of it, also those that the caller did not start."""
    # Both write values of statements into their debug messages.
    for talkative in ("tortoise", "aiosqlite", "asyncpg"):
        logging.getLogger(talkative).setLevel(logging.WARNING)
    if is_sqlite(settings) and ":memory:" not in settings.database_url.reveal():
        _make_private(sqlite_path(settings))
    comparing.install()
    # It keeps INSERTs by the connection's name; a process that connects elsewhere needs others.
    EXECUTOR_CACHE.clear()
    # Not Tortoise.init: what that sets up is seen by the tasks below this one alone, not by requests.
    with TortoiseContext() as context:
        await context.init(configuration(settings), _enable_global_fallback=True)


async def close() -> None:
    """Close what `connect` opened.  Without it SQLite's thread would keep the process from ending."""
    context, tortoise.context._global_context = tortoise.context._global_context, None
    if context is not None:
        await context.close_connections()


@asynccontextmanager
async def connected(settings: Settings) -> AsyncIterator[None]:
    await connect(settings)
    try:
        yield
    finally:
        await close()


async def ping() -> None:
    """Ask the database for the least it can answer.  Raises Unavailable."""
    await client().execute_query("SELECT 1")


async def generate_schema() -> None:
    """Make the tables of all models at once, for tests that need no migrations.  Lacks what RunSQL adds."""
    await generate_schema_for_client(client(), safe=True)


async def lock(name: str) -> None:
    """Let nobody else pass here with the same *name* until the transaction ends.

    On SQLite there is nothing to do: a transaction has the whole database to itself.
    """
    connection = client()
    if not isinstance(connection, TransactionalDBClient):
        raise RuntimeError(f"the lock {name!r} lasts until its transaction ends, and there is none")
    if dialect() == "postgres":
        number = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), signed=True)
        await connection.execute_query("SELECT pg_advisory_xact_lock($1)", [number])


def client() -> BaseDBAsyncClient:
    """What runs raw SQL: the transaction this task is in, else the database."""
    return get_connection(CONNECTION)


def dialect() -> str:
    """``sqlite`` or ``postgres``."""
    return client().capabilities.dialect


def marks(count: int) -> str:
    """The places of *count* values in a raw statement, from the first on."""
    return ", ".join("?" if dialect() == "sqlite" else f"${number + 1}" for number in range(count))


def is_sqlite(settings: Settings) -> bool:
    return settings.database_url.reveal().startswith("sqlite:")


def sqlite_path(settings: Settings) -> Path:
    return Path("/" + urlsplit(settings.database_url.reveal()).path.lstrip("/"))


def _make_private(path: Path) -> None:
    """Let a new database be its owner's alone, whatever the umask; what SQLite puts beside it takes after it."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with suppress(OSError):  # what is wrong, opening it will say
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))


def model_modules() -> list[str]:
    """Every module called ``models`` below our packages, in a stable order."""
    found = []
    for package in PACKAGES:
        spec = find_spec(package)
        for place in (spec.submodule_search_locations or []) if spec else []:
            for path in Path(place).rglob("models.py"):
                found.append(".".join((package, *path.relative_to(place).with_suffix("").parts)))
    return sorted(set(found))


def _connection(url: str, pool: int) -> dict[str, Any]:
    scheme, separator, _ = url.partition("://")
    if not separator or scheme not in ("sqlite", "postgres", "postgresql"):
        raise SettingsError(
            f"STATEROOM_DATABASE_URL begins with {scheme if separator else 'nothing'}://, "
            "but it must be postgres:// or sqlite://."
        )
    try:
        return _sqlite(url) if scheme == "sqlite" else _postgresql(url, pool)
    except (ConfigurationError, ValueError):
        raise SettingsError("STATEROOM_DATABASE_URL is not a URL: postgres://USER:PASSWORD@HOST/NAME.") from None


def _sqlite(url: str) -> dict[str, Any]:
    parts = urlsplit(url)
    path = ":memory:" if ":memory:" in url else "/" + parts.path.lstrip("/")
    return {
        "engine": "app.storage.engines.sqlite",
        "credentials": {"file_path": path, **PRAGMAS, **dict(parse_qsl(parts.query))},
    }


def _postgresql(url: str, pool: int) -> dict[str, Any]:
    defaults = {"minsize": 1, "maxsize": pool, "application_name": "stateroom"}
    return {
        "engine": "app.storage.engines.postgresql",
        "credentials": defaults | expand_db_url(url)["credentials"],
    }

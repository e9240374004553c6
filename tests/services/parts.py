"""The two sets of parts that a Stateroom runs on, one for each test that asks."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Protocol

from tests.services.objects import SeaweedFS
from tests.services.postgresql import PostgreSQL
from tests.services.valkey import Valkey


class Server(Protocol):
    program: str
    version: str

    def stop(self) -> None: ...


class Services:
    """The servers of one pytest process, each started when it is first asked for."""

    @cached_property
    def postgresql(self) -> PostgreSQL:
        return PostgreSQL()

    @cached_property
    def embedded_valkey(self) -> Valkey:
        return Valkey(embedded=True)

    @cached_property
    def redis(self) -> Valkey:
        return Valkey(embedded=False)

    @cached_property
    def s3(self) -> SeaweedFS:
        server = SeaweedFS()
        server.wait()
        return server

    def programs(self) -> dict[str, str]:
        """What has been started, by part: name and version."""
        return {part: f"{server.program} {server.version}" for part, server in self._started().items()}

    def stop(self) -> None:
        for server in self._started().values():
            server.stop()

    def _started(self) -> dict[str, Server]:
        return vars(self)  # a cached property is an attribute once it has been read


class Parts(Protocol):
    """Where one test's database, queue and objects are; a part that is not asked for is not started."""

    name: str
    #: What the summary of a run calls it.
    label: str

    @property
    def database_url(self) -> str:
        """An empty database of this test's own."""

    @property
    def redis_url(self) -> str:
        """A Valkey or Redis with nothing in it."""

    @property
    def objects_url(self) -> str:
        """An object store with nothing in it."""

    @property
    def objects_options(self) -> dict[str, str]:
        """What the URL does not say; credentials are in the environment, also in this process's own."""

    @property
    def environment(self) -> dict[str, str]:
        """All of it as a server's environment, credentials included."""

    def prepared(self, prepare: Callable[[str], None], key: str) -> str:
        """The URL of a database that *prepare* filled once for all tests, and this one has a copy of.

        From now on it is also what `database_url` says.
        """

    def close(self) -> None: ...


class Embedded:
    """What `stateroom up` brings along: SQLite, Valkey by a socket, files."""

    name = "embedded"
    label = "sqlite+valkey+files"
    _prepared: dict[str, Path] = {}

    def __init__(self, services: Services, directory: Path) -> None:
        self._services = services
        self._directory = directory

    @cached_property
    def database_url(self) -> str:
        return f"sqlite://{self._directory / 'stateroom.db'}"

    @cached_property
    def redis_url(self) -> str:
        self._services.embedded_valkey.clear()
        return self._services.embedded_valkey.url

    @cached_property
    def objects_url(self) -> str:
        return f"file://{self._directory / 'objects'}"

    @property
    def objects_options(self) -> dict[str, str]:
        return {}

    @property
    def environment(self) -> dict[str, str]:
        return _environment(self)

    def prepared(self, prepare: Callable[[str], None], key: str) -> str:
        if key not in self._prepared:
            original = self._directory.parent / f"prepared-{key}.db"
            prepare(f"sqlite://{original}")
            self._prepared[key] = original
        shutil.copyfile(self._prepared[key], self._directory / "stateroom.db")
        return self.database_url

    def close(self) -> None:
        """The test's directory is pytest's to remove."""


class External:
    """What a real deployment has: PostgreSQL, Redis with a password, S3."""

    name = "external"
    label = "postgresql+redis+s3"
    _prefixes = itertools.count(1)

    def __init__(self, services: Services, setenv: Callable[[str, str], None]) -> None:
        self._services = services
        self._setenv = setenv
        self._prefix = f"test-{next(self._prefixes)}"

    @cached_property
    def database_url(self) -> str:
        return self._services.postgresql.create()

    @cached_property
    def redis_url(self) -> str:
        self._services.redis.clear()
        return self._services.redis.url

    @cached_property
    def objects_url(self) -> str:
        for name, value in self._services.s3.environment.items():
            self._setenv(name, value)  # where an S3 client in this process looks for credentials
        return self._services.s3.url(self._prefix)

    @property
    def objects_options(self) -> dict[str, str]:
        return self._services.s3.options

    @property
    def environment(self) -> dict[str, str]:
        return _environment(self) | self._services.s3.environment

    def prepared(self, prepare: Callable[[str], None], key: str) -> str:
        self.__dict__["database_url"] = self._services.postgresql.copy(prepare, key)
        return self.database_url

    def close(self) -> None:
        if "database_url" in self.__dict__:
            self._services.postgresql.drop(self.database_url)


def _environment(parts: Parts) -> dict[str, str]:
    return {
        "STATEROOM_DATABASE_URL": parts.database_url,
        "STATEROOM_REDIS_URL": parts.redis_url,
        "STATEROOM_OBJECTS_URL": parts.objects_url,
        "STATEROOM_OBJECTS_OPTIONS": json.dumps(parts.objects_options),
    }

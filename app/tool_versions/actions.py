"""What site admins can do with versions of Terraform and OpenTofu."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlsplit

from tortoise.exceptions import IntegrityError
from tortoise.functions import Count
from tortoise.queryset import QuerySet

from app import clock, ids
from app.access.actors import Actor
from app.access.permissions import require_on_site
from app.errors import Invalid, NotFound
from app.storage.database import in_transaction
from app.tool_versions.models import ToolVersion
from app.workspaces import versions
from app.workspaces.models import Workspace

ENGINES = tuple(versions.NAMES)
MOST_REASON = 1024
_SHA256 = re.compile(r"[0-9a-f]{64}")
_WORD = re.compile(r"[a-z0-9]{1,16}")
#: What can be changed of an official release: its publisher says the rest.
_OPEN = frozenset({"enabled", "beta", "deprecated", "deprecated_reason"})


@dataclass(frozen=True, slots=True)
class Architecture:
    """Where a bundle for one kind of machine is, and what its SHA-256 must be."""

    url: str
    sha: str
    os: str = "linux"
    arch: str = "amd64"


async def visible(actor: Actor) -> QuerySet[ToolVersion]:
    """Every version there is, for who administers the site.  Raises NotFound for anybody else."""
    await require_on_site(actor, "tool-version:read")
    return ToolVersion.all()


async def find(actor: Actor, id: str) -> ToolVersion:
    """Raises NotFound, also for whoever is no site admin."""
    version = await (await visible(actor)).filter(id=id).first()
    if version is None:
        raise NotFound("There is no such version.")
    return version


async def create(
    actor: Actor, *, version: str, archs: Sequence[Architecture], engine: str = "terraform", **given: Any
) -> ToolVersion:
    """Register a bundle: a zip with the engine's program, and any providers its workspaces should find offline.

    It is fetched by the worker that first needs it.
    """
    await require_on_site(actor, "tool-version:create")
    values = _checked({"engine": engine, "version": version, "archs": archs, **given})
    _check_age(engine, version)
    try:
        return await ToolVersion.create(id=ids.new("tool_version"), created_at=clock.now(), **values)
    except IntegrityError as error:
        raise _taken(engine, version) from error


async def update(actor: Actor, tool: ToolVersion, **given: Any) -> ToolVersion:
    """Change what is given."""
    await require_on_site(actor, "tool-version:update")
    if tool.official and not given.keys() <= _OPEN:
        raise Invalid(
            "This is an official release: its publisher says where it is and what its checksum must be. Enable,"
            " disable or deprecate it, or register a bundle under a version of its own, such as 1.9.8-acme.",
            field=sorted(given.keys() - _OPEN)[0],
        )
    changes = _checked(given)
    _check_age(changes.get("engine", tool.engine), changes.get("version", tool.version))
    if changes.keys() & {"version", "engine"} and await _uses(tool):
        raise Invalid(_in_use(await _uses(tool), "renamed"), field="version")
    if "archs" in changes:
        changes["problem"] = None
    try:
        if changes:
            await ToolVersion.filter(id=tool.id).update(**changes)
    except IntegrityError as error:
        taken = (changes.get(key, getattr(tool, key)) for key in ("engine", "version"))
        raise _taken(*taken) from error
    await tool.refresh_from_db()
    return tool


async def delete(actor: Actor, tool: ToolVersion) -> None:
    """Forget a bundle that no workspace names.  Workers keep what they have fetched of it until it is cleared away."""
    await require_on_site(actor, "tool-version:delete")
    if tool.official:
        raise Invalid("This is an official release and cannot be deleted. Disable it (enabled: false) instead.")
    async with in_transaction():
        if uses := await _uses(tool):
            raise Invalid(_in_use(uses, "deleted"))
        await ToolVersion.filter(id=tool.id).delete()


async def usage(tools: Sequence[ToolVersion]) -> Mapping[str, int]:
    """How many workspaces name each of *tools*, by its id."""
    named = Workspace.filter(deleted_at=None, terraform_version__in=[tool.version for tool in tools])
    rows = await (
        named.annotate(uses=Count("id"))
        .group_by("engine", "terraform_version")
        .values_list("engine", "terraform_version", "uses")
    )
    uses = {(engine, version): count for engine, version, count in rows}
    return {tool.id: uses.get((tool.engine, tool.version), 0) for tool in tools}


async def _uses(tool: ToolVersion) -> int:
    return (await usage([tool]))[tool.id]


def _in_use(uses: int, what: str) -> str:
    workspaces = "1 workspace names" if uses == 1 else f"{uses} workspaces name"
    return f"{workspaces} this version, so it cannot be {what}. Set them to another, or disable it (enabled: false)."


def _taken(engine: str, version: str) -> Invalid:
    name = versions.NAMES.get(engine, engine)
    return Invalid(
        f"{name} {version} is there already. Register a bundle under a version of its own, such as {version}-acme.",
        field="version",
    )


def _checked(given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _CHECKS[name](value) for name, value in given.items()}


def _version(value: str) -> str:
    if not versions.is_exact(value):
        raise Invalid(
            "A version is exact, such as 1.9.8 or 1.9.8-acme, and has at most 64 characters.", field="version"
        )
    return value


def _check_age(engine: str, version: str) -> None:
    if not versions.carries_out_runs(engine, version):
        raise Invalid(
            f"{versions.NAMES[engine]} carries out runs from {versions.OLDEST[engine]} on; {version} is older.",
            field="version",
        )


def _engine(value: str) -> str:
    if value not in ENGINES:
        raise Invalid("The engine is terraform or opentofu.", field="engine")
    return value


def _archs(value: Sequence[Architecture]) -> list[dict[str, str]]:
    if not value:
        raise Invalid("A bundle needs the URL of a zip and its SHA-256.", field="url")
    if len({(one.os, one.arch) for one in value}) < len(value):
        raise Invalid("Each kind of machine is named once.", field="archs")
    return [asdict(_architecture(one)) for one in value]


def _architecture(one: Architecture) -> Architecture:
    if not (_WORD.fullmatch(one.os) and _WORD.fullmatch(one.arch)):
        raise Invalid("The kind of a machine is written like linux and amd64.", field="archs")
    if not _SHA256.fullmatch(one.sha.lower()):
        raise Invalid("A SHA-256 has 64 hexadecimal digits (sha256sum prints it).", field="sha")
    _check_url(one.url)
    return Architecture(one.url, one.sha.lower(), one.os, one.arch)


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        has_host = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        has_host = False
    if not has_host or parts.scheme not in ("https", "http") or len(url) > 2048 or re.search(r"[\s\x00-\x1f]", url):
        raise Invalid("The URL of a bundle begins with https:// or http:// and names a host.", field="url")
    if parts.username is not None or parts.password is not None:
        raise Invalid("A user name or password in the URL would be seen by everyone who reads it.", field="url")


def _reason(value: str | None) -> str | None:
    if value is not None and (len(value) > MOST_REASON or "\0" in value):
        raise Invalid(f"A reason has at most {MOST_REASON} characters.", field="deprecated_reason")
    return value


_CHECKS: dict[str, Callable[[Any], Any]] = {
    "engine": _engine,
    "version": _version,
    "archs": _archs,
    "enabled": bool,
    "beta": bool,
    "deprecated": bool,
    "deprecated_reason": _reason,
}

"""Which Terraform a workspace may name, and which one that comes to.

What there is, the workers say; they lie above workspaces, so whoever puts the process together hands in a
provider.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable

from app.errors import Invalid

LATEST = "latest"
#: Which versions of an engine (``terraform``, ``opentofu``) the workers have.
Provider = Callable[[str], Awaitable[Iterable[str]]]

_VERSION = re.compile(r"(\d{1,6})\.(\d{1,6})\.(\d{1,6})(?:-([0-9A-Za-z][0-9A-Za-z.-]*))?(?:\+[0-9A-Za-z.-]+)?")
_PARTIAL = re.compile(r"(\d{1,6})(?:\.(\d{1,6}))?(?:\.(\d{1,6}))?(?:-([0-9A-Za-z][0-9A-Za-z.-]*))?")
_CONDITION = re.compile(r"(=|!=|>=|<=|>|<|~>)? *(\S+)")
_MOST = 64

Key = tuple[int, int, int, int, tuple[tuple[int, int, str], ...]]

_provider: Provider | None = None


def configure(provider: Provider | None) -> None:
    """Ask *provider* from now on what there is."""
    global _provider
    _provider = provider


async def available(engine: str) -> list[str]:
    """The versions of *engine* that workers have, the newest first; empty if no worker ever said."""
    if _provider is None:
        return []
    return sorted({v for v in await _provider(engine) if _VERSION.fullmatch(v)}, key=_key, reverse=True)


def newest_match(wanted: str, there_are: Iterable[str]) -> str | None:
    """What *wanted* (a version, ``latest`` or a constraint such as ``~> 1.9``) comes to among those there
    are."""
    candidates = sorted({v for v in there_are if _VERSION.fullmatch(v)}, key=_key, reverse=True)
    if wanted in candidates:
        return wanted
    if _VERSION.fullmatch(wanted):
        return None
    released = [v for v in candidates if "-" not in v.partition("+")[0]]
    if wanted == LATEST:
        return next(iter(released or candidates), None)
    return next((v for v in released if _satisfies(v, wanted)), None)


def check(version: str, engine: str, there_are: Iterable[str]) -> str:
    """*version* itself, if a run with it could be carried out; else `Invalid`, naming what there is."""
    if not _is_well_formed(version):
        raise Invalid(
            "A Terraform version is exact (1.11.4), latest, or a constraint (~> 1.11.0).",
            field="terraform_version",
        )
    known = list(there_are)
    if known and newest_match(version, known) is None:
        raise Invalid(
            f"No worker of this server has {engine} {version}. There is {_listed(known)}; name one of these, or"
            " install that version on a worker.",
            field="terraform_version",
        )
    return version


async def for_new_workspace(wanted: str | None, engine: str, client_version: str | None) -> str:
    """The version a workspace begins with.

    A terraform that makes a workspace names its own version, and cannot go on if that is refused; so it gets
    the newest there is.
    """
    there_are = await available(engine)
    newest = newest_match(LATEST, there_are)
    if wanted is None:
        return newest or (client_version if client_version and _VERSION.fullmatch(client_version) else LATEST)
    is_the_clients_own = client_version is not None and wanted.partition("-")[0] == client_version.partition("-")[0]
    if is_the_clients_own and newest and _is_well_formed(wanted) and newest_match(wanted, there_are) is None:
        return newest
    return check(wanted, engine, there_are)


async def resolve(engine: str, wanted: str, *, strict: bool = False) -> str:
    """The exact version a new run gets for what its workspace names.

    A version that has gone since the workspace named it is kept, so that the run can say so; with *strict*,
    and where there is nothing exact to keep, it is `Invalid`.
    """
    there_are = await available(engine)
    found = newest_match(wanted, there_are)
    if found is not None:
        return found
    if not strict and _VERSION.fullmatch(wanted):
        return wanted
    check(wanted, engine, there_are)
    raise Invalid(f"No worker has said yet which {engine} it has, so {wanted} cannot be settled. Start a worker.")


def _is_well_formed(version: str) -> bool:
    if len(version) > _MOST:
        return False
    if version == LATEST or _VERSION.fullmatch(version):
        return True
    conditions = [_CONDITION.fullmatch(part.strip(" ")) for part in version.split(",")]
    return all(match is not None and match[1] and _PARTIAL.fullmatch(match[2]) for match in conditions)


def _satisfies(version: str, constraint: str) -> bool:
    return all(_holds(version, part.strip(" ")) for part in constraint.split(","))


def _holds(version: str, condition: str) -> bool:
    match = _CONDITION.fullmatch(condition)
    partial = _PARTIAL.fullmatch(match[2]) if match else None
    if match is None or partial is None:
        return False
    given = [int(part) for part in partial.groups()[:3] if part is not None]
    mine, theirs = _key(version), _key(_padded(partial))
    if match[1] == "~>":
        fixed = max(len(given) - 1, 1)
        return mine >= theirs and list(mine[:fixed]) == given[:fixed]
    return {
        "!=": mine != theirs,
        ">=": mine >= theirs,
        "<=": mine <= theirs,
        ">": mine > theirs,
        "<": mine < theirs,
    }.get(match[1] or "=", mine == theirs)


def _padded(partial: re.Match[str]) -> str:
    major, minor, patch, pre = partial.groups()
    return f"{major}.{minor or 0}.{patch or 0}" + (f"-{pre}" if pre else "")


def _key(version: str) -> Key:
    """Orders versions as semantic versioning does: a pre-release before its release, its numbers as
    numbers."""
    match = _VERSION.fullmatch(version)
    if match is None:
        raise ValueError(f"{version!r} is no version")
    pre = match[4]
    words = tuple((0, int(w), "") if w.isdigit() else (1, 0, w) for w in pre.split(".")) if pre else ()
    return int(match[1]), int(match[2]), int(match[3]), 0 if pre else 1, words


def _listed(versions: Iterable[str]) -> str:
    newest = sorted(versions, key=_key, reverse=True)
    return ", ".join(newest[:12]) + (" and older ones" if len(newest) > 12 else "")

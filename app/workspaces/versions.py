"""Which Terraform a workspace may name, and which one that comes to.

What there is, workers and administrators say; they lie above workspaces, so whoever puts the process together hands in
a provider.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from app.errors import Invalid

LATEST = "latest"
NAMES = {"terraform": "Terraform", "opentofu": "OpenTofu"}

#: What a run needs came with it: a plan as JSON, and the state of a named workspace where we look for it.
OLDEST = {"terraform": "0.12.0"}

_VERSION = re.compile(r"(\d{1,6})\.(\d{1,6})\.(\d{1,6})(?:-([0-9A-Za-z][0-9A-Za-z.-]*))?(?:\+[0-9A-Za-z.-]+)?")
_PARTIAL = re.compile(r"(\d{1,6})(?:\.(\d{1,6}))?(?:\.(\d{1,6}))?(?:-([0-9A-Za-z][0-9A-Za-z.-]*))?")
_CONDITION = re.compile(r"(=|!=|>=|<=|>|<|~>)? *(\S+)")
_MOST = 64

Key = tuple[int, int, int, int, tuple[tuple[int, int, str], ...]]


@dataclass(frozen=True, slots=True)
class Offer:
    """What there is of an engine.

    `here` lies on a worker or was registered by an administrator, `releases` are official ones that a worker may
    download, and `disabled` are neither: an administrator has closed them.  `is_reported` says that a worker has told
    what it has, so that what is not among it is nowhere; `unread` is why official releases that a worker may download
    are not known, as a piece of a sentence.
    """

    here: frozenset[str] = frozenset()
    releases: frozenset[str] = frozenset()
    disabled: frozenset[str] = frozenset()
    is_reported: bool = False
    unread: str | None = None

    @property
    def is_known(self) -> bool:
        """Whether a version that is not among it can be refused."""
        return self.is_reported or bool(self.all)

    @property
    def all(self) -> frozenset[str]:
        return self.here | self.releases

    def newest(self, wanted: str) -> str | None:
        """What *wanted* comes to.  What is here goes first: a release that comes out changes nobody's plan."""
        return newest_match(wanted, self.here) or newest_match(wanted, self.releases)


#: What there is of an engine (``terraform``, ``opentofu``).
Provider = Callable[[str], Awaitable[Offer]]

_provider: Provider | None = None


def configure(provider: Provider | None) -> None:
    """Ask *provider* from now on what there is."""
    global _provider
    _provider = provider


async def offered(engine: str) -> Offer:
    """What there is of *engine*; nothing if no worker ever said."""
    return await _provider(engine) if _provider is not None else Offer()


def is_exact(version: str) -> bool:
    """Whether *version* is one version, not a constraint."""
    return len(version) <= _MOST and bool(_VERSION.fullmatch(version))


def carries_out_runs(engine: str, version: str) -> bool:
    """Whether a worker may use *version*.  Older ones can use the server from outside."""
    return engine not in OLDEST or not is_exact(version) or order(version) >= order(OLDEST[engine])


def is_prerelease(version: str) -> bool:
    return "-" in version.partition("+")[0]


def newest_match(wanted: str, there_are: Iterable[str]) -> str | None:
    """What *wanted* (a version, ``latest`` or a constraint such as ``~> 1.9``) comes to among those there
    are."""
    candidates = sorted({v for v in there_are if _VERSION.fullmatch(v)}, key=order, reverse=True)
    if wanted in candidates:
        return wanted
    if _VERSION.fullmatch(wanted):
        return None
    released = [v for v in candidates if not is_prerelease(v)]
    if wanted == LATEST:
        return next(iter(released or candidates), None)
    return next((v for v in released if _satisfies(v, wanted)), None)


def check(version: str, engine: str, offer: Offer) -> str:
    """*version* itself, if a run with it could be carried out; else `Invalid`, naming what there is."""
    if not _is_well_formed(version):
        raise Invalid(
            "A Terraform version is exact (1.11.4), latest, or a constraint (~> 1.11.0).",
            field="terraform_version",
        )
    if offer.is_known and offer.newest(version) is None:
        raise Invalid(_refusal(version, engine, offer), field="terraform_version" if offer.all else "engine")
    return version


async def for_new_workspace(wanted: str | None, engine: str, client_version: str | None) -> str:
    """The version a workspace begins with.

    A terraform that makes a workspace names its own version, and cannot go on if that is refused; so it gets
    the newest there is.
    """
    offer = await offered(engine)
    newest = offer.newest(LATEST)
    if wanted is None and newest is None and engine != "terraform":  # which nobody gets without asking for it
        check(LATEST, engine, offer)
    if wanted is None:
        return newest or (client_version if client_version and _VERSION.fullmatch(client_version) else LATEST)
    is_the_clients_own = client_version is not None and wanted.partition("-")[0] == client_version.partition("-")[0]
    if is_the_clients_own and _is_well_formed(wanted) and offer.newest(wanted) is None:
        return newest or wanted
    return check(wanted, engine, offer)


async def resolve(engine: str, wanted: str, *, strict: bool = True) -> str:
    """The exact version a new run gets for what its workspace names.

    One that nobody has is `Invalid`; without *strict* an exact version that has gone is kept, so that the run itself
    can say so.
    """
    offer = await offered(engine)
    found = offer.newest(wanted)
    if found is not None:
        return found
    if is_exact(wanted) and not (strict and offer.is_known):
        return wanted
    check(wanted, engine, offer)
    raise Invalid(
        f"No worker has said yet which {NAMES.get(engine, engine)} it has, so {wanted} cannot be settled."
        " Start a worker."
    )


def _refusal(version: str, engine: str, offer: Offer) -> str:
    name, there_is = NAMES.get(engine, engine), _listed(offer)
    no_release = offer.unread or ("it is no official release" if offer.releases else "none may download it")
    if version in offer.disabled:
        return (
            f"{name} {version} has been disabled by an administrator of this server. There is {there_is}; set the"
            " workspace to one of these."
        )
    if not offer.all:
        remedy = "Install it on a worker (docs/versions.md)"
        other = "" if engine == "terraform" else ", or set the engine to terraform"
        return f"No worker of this server has {name}, and {no_release}. {remedy}{other}."
    if not carries_out_runs(engine, version):
        return (
            f"{name} {version} carries out no runs here: that takes {OLDEST[engine]} or newer. There is {there_is};"
            " name one of these. The terraform on your own machine may be older."
        )
    return (
        f"No worker of this server has {name} {version}, and {no_release}. There is {there_is}; name one of these, or"
        " install that version on a worker."
    )


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
    mine, theirs = order(version), order(_padded(partial))
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


def order(version: str) -> Key:
    """Orders versions as semantic versioning does: a pre-release before its release, its numbers as
    numbers."""
    match = _VERSION.fullmatch(version)
    if match is None:
        raise ValueError(f"{version!r} is no version")
    pre = match[4]
    words = tuple((0, int(w), "") if w.isdigit() else (1, 0, w) for w in pre.split(".")) if pre else ()
    return int(match[1]), int(match[2]), int(match[3]), 0 if pre else 1, words


def _listed(offer: Offer) -> str:
    if not offer.all:
        return "no other"
    newest = sorted((v for v in offer.here or offer.releases if _VERSION.fullmatch(v)), key=order, reverse=True)
    listed = ", ".join(newest[:12]) + (" and older ones" if len(newest) > 12 else "")
    more = offer.releases - offer.here if offer.here else None
    return f"{listed} and {len(more)} official releases" if more else listed

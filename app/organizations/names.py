"""What an organization may be called."""

from __future__ import annotations

import re
from collections.abc import Iterable

from app.errors import Invalid

MAX_LENGTH = 40
_WELL_FORMED = re.compile(r"[A-Za-z0-9_-]+")

#: Names that one of our own routes would shadow, since an organization's pages lie at ``/app/NAME``.
_reserved: frozenset[str] = frozenset()


def configure(reserved: Iterable[str]) -> None:
    """Say which names the route table takes for itself.  Called where the routes are put together."""
    global _reserved
    _reserved = frozenset(name.lower() for name in reserved)


def check(name: str) -> str:
    """*name* itself, if an organization may have it; else `Invalid`."""
    if not name:
        raise Invalid("An organization needs a name.", field="name")
    if len(name) > MAX_LENGTH:
        raise Invalid(f"The name of an organization has at most {MAX_LENGTH} characters.", field="name")
    if not _WELL_FORMED.fullmatch(name):
        raise Invalid("The name of an organization has only letters, digits, hyphens and underscores.", field="name")
    if name.lower() in _reserved:
        raise Invalid(
            f"An organization cannot be called {name}: a page of Stateroom has that address. Choose another name.",
            field="name",
        )
    return name


def of_deleted(organization_id: str) -> str:
    """What the row of a deleted organization is called: a name nobody can choose."""
    return f"~{organization_id}"

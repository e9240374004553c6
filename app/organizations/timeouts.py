"""How long the phases of an organization's runs may take, where that is not left to the site's settings."""

from __future__ import annotations

import re

from app.access.actors import Actor
from app.access.permissions import require_on_site
from app.errors import Invalid, NotFound
from app.organizations.models import Organization

_UNITS = {"h": 3600, "m": 60, "s": 1}
_PARTS = re.compile(r"([0-9]{1,7})([hms])")
_WHOLE = re.compile(r"(?:[0-9]{1,7}h)?(?:[0-9]{1,7}m)?(?:[0-9]{1,7}s)?")
_LONGEST = 365 * 24 * 3600


async def find(actor: Actor, name: str) -> Organization:
    """The organization called *name*, for those who administer the site."""
    await require_on_site(actor, "organization:limit")
    organization = await Organization.get_or_none(name=name)
    if organization is None:
        raise NotFound(f"There is no organization {name}.")
    return organization


async def limit(actor: Actor, organization: Organization, **durations: str | None) -> None:
    """Set `plan_timeout` and `apply_timeout`, as far as given; None is the site's setting.  For phases that start."""
    await require_on_site(actor, "organization:limit")
    changes = {f"{field}_seconds": _seconds(field, duration) for field, duration in durations.items()}
    if changes:
        await Organization.filter(id=organization.id).update(**changes)
        organization.update_from_dict(changes)


def _seconds(field: str, duration: str | None) -> int | None:
    if duration is None:
        return None
    seconds = sum(int(number) * _UNITS[unit] for number, unit in _PARTS.findall(duration))
    if not _WHOLE.fullmatch(duration) or not 1 <= seconds <= _LONGEST:
        raise Invalid(
            "A timeout is a duration like 90m, 2h or 1h30m, at most 8760h; null is the site's setting.", field=field
        )
    return seconds


def text(seconds: int | None) -> str | None:
    """*seconds* as the duration they were set by."""
    if seconds is None:
        return None
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return "".join(f"{number}{unit}" for number, unit in ((hours, "h"), (minutes, "m"), (rest, "s")) if number)

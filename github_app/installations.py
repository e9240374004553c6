"""Where our apps are installed, and what each installation sees: kept as GitHub says it is now.

A delivery is only a reason to look, so one that comes late, twice or never does no harm.  Nothing is deleted: what is
gone at GitHub says so to the workspaces that follow it.  Source: `github-app.md` §1.4 and §1.5 of the protocol notes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

import structlog
from tortoise.exceptions import IntegrityError
from tortoise.expressions import Q

from app import clock, ids
from app.errors import StateroomError, Unavailable
from app.storage.database import in_transaction
from app.vcs.models import Connection, Installation, InstallationLink, Repository
from github_app import app_api, client, payloads, repositories
from github_app.client import NoToken
from github_app.models import GitHubApp

log = structlog.get_logger(__name__)

EVERY = timedelta(days=1)
#: After a failure.
SOON = timedelta(minutes=10)
#: Another who looks at the same time may write first: then what we saw may be older, and we look again.
LOOKS = 5
#: Numbers in one query.
CHUNK = 500


class _Overtaken(Exception):
    """The row changed after we had read it."""


async def look(app: GitHubApp, number: int) -> Installation | None:
    """Bring what is kept of an installation and of its repositories to what GitHub says now, and give its row.

    None if GitHub knows no installation *number* of the app's, and never told us of one.  Raises Unreachable, and
    `Refused` where GitHub does not take what the app signs.
    """
    if not 0 < number < 2**63:
        return None
    ours = await client.of(app.id)
    for _ in range(LOOKS):
        before = await Installation.get_or_none(app_id=app.id, number=number)
        ours.forget_installation(number)
        seen = await app_api.installation(ours, number)
        if seen is None and before is None:
            return None
        try:
            there = await app_api.repositories(ours, number) if seen and not seen.suspended_at else None
            async with in_transaction():
                row = await note(app, seen, before) if seen else await _bury(before)
                if there is not None:
                    await _settle(row, there)
            return row
        except (_Overtaken, IntegrityError, NoToken) as error:  # of the last: suspended or deleted just now
            log.info("an installation changed while it was looked at", app=app.id, number=number, why=repr(error))
    raise Unavailable(f"The installation {number} changes faster than it can be looked at.")


async def refresh(app: GitHubApp) -> None:
    """Look at every installation of the app: those GitHub lists, and those we take for alive.

    One that cannot be looked at stops no other; the first such error is raised at the end.
    """
    alive = await Installation.filter(app_id=app.id, deleted_at=None).values_list("number", flat=True)
    listed = await app_api.installation_numbers(await client.of(app.id))
    failure: StateroomError | None = None
    for number in sorted(listed | {int(str(one)) for one in alive}):
        try:
            await look(app, number)
        except StateroomError as error:
            log.warning("an installation could not be looked at", app=app.id, number=number, reason=error.sentence)
            failure = failure or error
    if failure is not None:
        raise failure


async def refresh_due() -> int:
    """Refresh the apps that were not for a day, new ones at once; how many."""
    now = clock.now()
    due = await GitHubApp.filter(Q(refreshed_at=None) | Q(refreshed_at__lt=now - EVERY)).order_by("id")
    for app in due:
        if not await GitHubApp.filter(id=app.id, refreshed_at=app.refreshed_at).update(refreshed_at=now):
            continue  # another worker is at it
        try:
            await refresh(app)
        except StateroomError as error:
            log.warning("an app's installations could not be refreshed", app=app.id, reason=error.sentence)
            await GitHubApp.filter(id=app.id, refreshed_at=now).update(refreshed_at=now - EVERY + SOON)
    return len(due)


async def refresh_soon(app: GitHubApp) -> None:
    """Have a worker refresh the app within a minute."""
    await GitHubApp.filter(id=app.id).update(refreshed_at=None)


async def note(app: GitHubApp, seen: payloads.Installation, before: Installation | None) -> Installation:
    """Write what GitHub says of an installation that is there; *before* is its row as it stood before GitHub was asked.

    What is out of suspension, or installed after all, is looked through for what was pushed meanwhile.
    """
    values = _told(seen)
    if before is None:
        row = Installation(id=ids.new("github_app_installation"), app_id=app.id, number=seen.id, created_at=clock.now())
        row.update_from_dict(values)
        await row.save(force_create=True)
        return row
    returns = before.trouble is not None and not values["suspended_at"]
    await _write(before, values)
    if returns:
        await Repository.filter(installation_id=before.id).update(reconciled_at=None)
    return before


async def _bury(before: Installation | None) -> Installation:
    """It is gone.  Its row stays, for the workspaces that followed something through it."""
    assert before is not None
    if before.deleted_at is None:
        await _write(before, {"deleted_at": clock.now()})
    return before


async def _write(row: Installation, values: Mapping[str, Any]) -> None:
    values = {**values, "revision": row.revision + 1}
    if not await Installation.filter(id=row.id, revision=row.revision).update(**values):
        raise _Overtaken
    row.update_from_dict(values)


def _told(seen: payloads.Installation) -> dict[str, Any]:
    account = seen.account or payloads.Account()
    return {
        "account_number": account.id,
        "account_login": account.handle,
        "account_type": account.type,
        "account_url": account.html_url,
        "icon_url": account.avatar_url,
        "html_url": seen.html_url,
        "repository_selection": seen.repository_selection,
        "permissions": seen.permissions or {},
        "events": seen.events or [],
        "suspended_at": _moment(seen.suspended_at),
        "deleted_at": None,
    }


def _moment(told: str | int | None) -> datetime | None:
    """Of a suspension: that there is one matters more than when it began."""
    if not told:
        return None
    try:
        moment = datetime.fromisoformat(str(told))
    except ValueError:
        return clock.now()
    return moment if moment.tzinfo else clock.now()


# -- repositories ------------------------------------------------------------------------------------------------


async def _settle(installation: Installation, there: Mapping[int, payloads.Repository]) -> None:
    """*there* is all that the installation sees.  What another one had is taken over only if nobody follows it."""
    here = {row.number: row for row in await Repository.filter(installation_id=installation.id)}
    elsewhere = await _elsewhere(installation.app_id, [number for number in there if number not in here])
    fresh = []
    for number, seen in there.items():
        if number in here:
            await repositories.found(here[number], seen)
        elif number in elsewhere:
            await _take_over(elsewhere[number], installation, seen)
        else:
            fresh.append(repositories.made(installation, ids.new("github_repository"), seen))
    if fresh:
        await Repository.bulk_create(fresh, batch_size=CHUNK)
    for number, row in here.items():
        if number not in there and row.lost in (None, repositories.archived(row)):
            await repositories.lose(row, repositories.unseen(row, installation))


async def _elsewhere(app_id: str, numbers: Collection[int]) -> dict[int, Repository]:
    wanted = list(numbers)
    found: dict[int, Repository] = {}
    for start in range(0, len(wanted), CHUNK):
        rows = await Repository.filter(app_id=app_id, number__in=wanted[start : start + CHUNK])
        found.update((row.number, row) for row in rows)
    return found


async def _take_over(row: Repository, installation: Installation, seen: payloads.Repository) -> None:
    """*row* was seen through another installation, so it has another owner now, or the app was installed anew.  With
    followers it is taken over only from the same owner, and once all their organizations are linked here."""
    followers = Connection.filter(repository_id=row.id, workspace__deleted_at=None)
    organizations = set(await followers.distinct().values_list("workspace__organization_id", flat=True))
    before = await Installation.get(id=row.installation_id)
    if organizations and before.account_number != installation.account_number:
        await repositories.lose(row, repositories.transferred(row, installation.account_login))
        return
    links = InstallationLink.filter(installation_id=installation.id)
    if organizations <= set(await links.values_list("organization_id", flat=True)):
        await repositories.change(row, {"installation_id": installation.id, "reconciled_at": None})
        await repositories.found(row, seen)

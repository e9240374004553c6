"""Tells GitHub what is owed to it: the newest of each check, slowly, and each once, however many workers there are.

An installation is written to by one worker at a time, one call at a time, with a second between two: that stays below
GitHub's limit of 80 a minute, and what it answers beyond that is heeded.  A check is claimed by moving its `next_at`
on, so a worker that dies leaves it due again; because its creation may have reached GitHub, the next one looks there
first.  Source: `github-app.md` §2.3, §4.3 and §4.5.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Protocol

import structlog
from tortoise.exceptions import IntegrityError
from tortoise.expressions import Q

from app import clock
from app.vcs.models import Installation, Repository
from github_app import api, check_bodies, checks, commit_statuses
from github_app.api import Refused, Unreachable
from github_app.checks import PROGRESS_EVERY
from github_app.models import Check, Pace

log = structlog.get_logger(__name__)

#: From the end of one call that writes to the beginning of the next.
BETWEEN = timedelta(seconds=1)
#: Seconds that the telling of one check may take, and when another worker may take over.
PATIENCE = 90
LEASE = timedelta(minutes=3)
#: Installations that one worker writes to at the same time.
AT_ONCE = 8
LONGEST_WAIT = timedelta(minutes=10)
#: What GitHub refuses it seldom takes later; where it does, it had not seen its own commit yet.
LONGEST_WAIT_AFTER_NO = timedelta(hours=1)
LONGEST_PAUSE = timedelta(minutes=5)
#: What could not be told for so long is of no use to anybody.
GIVE_UP = timedelta(hours=24)

#: Of a context that has its thousand statuses on the commit: there is no room for another, ever.
NO_MORE_STATUSES = "maximum number of statuses"

#: Whose turn is first: what branch protection waits for, what has ended, then what goes on.
PRECEDENCE = (
    Q(workspace_id__isnull=True, number__isnull=True, sent_number=0),
    Q(is_final=True),
    Q(workspace_id__isnull=True),
    Q(),
)


class Teller(Protocol):
    """What is asked of `api.Api`."""

    async def create_check(self, repository: Repository, body: dict[str, Any]) -> int: ...
    async def update_check(self, repository: Repository, number: int, body: dict[str, Any]) -> None: ...
    async def find_check(self, repository: Repository, sha: str, name: str, external_id: str) -> int | None: ...
    async def create_status(self, repository: Repository, sha: str, body: dict[str, Any]) -> None: ...


async def send(of: Callable[[Installation], Teller] = api.of) -> int:
    """Make the next call of every installation that something is owed to.  How many were made."""
    owed = Check.filter(next_at__lte=clock.now()).distinct()
    installations = await owed.values_list("repository__installation_id", flat=True)
    room = asyncio.Semaphore(AT_ONCE)

    async def turn(installation_id: str) -> bool:
        async with room:
            return await _turn(installation_id, of)

    outcomes = await asyncio.gather(*(turn(str(id)) for id in installations), return_exceptions=True)
    failed = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    if failed:
        raise failed[0]
    return sum(outcome is True for outcome in outcomes)


async def _turn(installation_id: str, of: Callable[[Installation], Teller]) -> bool:
    """One check of the installation's, if nobody else is at it and its pace allows."""
    pace = await _held(installation_id)
    if pace is None:
        return False
    pause: timedelta | None = BETWEEN
    not_before: datetime | None = None
    try:
        check = await _claimed(installation_id)
        if check is None:
            pause = timedelta(0)
            return False
        try:
            installation = await Installation.get(id=installation_id)
            await _tell(check, installation, of(installation))
        except Unreachable as error:
            not_before, pause = error.not_before, None
            await _later(check, error.sentence, error.not_before)
        except TimeoutError:
            pause = None
            await _later(check, "GitHub took too long to answer.", None)
        except Refused as refusal:
            await _refused(check, refusal)
        return True
    finally:
        await _let_go(pace, pause, not_before)


# -- whose turn it is ------------------------------------------------------------------------------------------------


async def _held(installation_id: str) -> Pace | None:
    """The installation's pace, held by us; None if another worker writes to it, or it is too early."""
    now = clock.now()
    until = now + LEASE
    free = Pace.filter(Q(held_until__isnull=True) | Q(held_until__lte=now), installation_id=installation_id)
    if await free.filter(next_at__lte=now).update(held_until=until):
        return await Pace.get(installation_id=installation_id)
    if await Pace.filter(installation_id=installation_id).exists():
        return None
    try:
        return await Pace.create(installation_id=installation_id, held_until=until, next_at=now)
    except IntegrityError:  # another worker, in the same moment
        return None


async def _let_go(pace: Pace, pause: timedelta | None, not_before: datetime | None) -> None:
    """*pause* is None after a failure: each in a row doubles it, and *not_before* is what GitHub asked for."""
    now = clock.now()
    failures = pace.failures + 1 if pause is None else 0
    wait = _doubled(failures, LONGEST_PAUSE) if pause is None else pause
    next_at = max(now + wait, not_before or now)
    ours = Pace.filter(installation_id=pace.installation_id, held_until=pace.held_until)
    await ours.update(held_until=None, next_at=next_at, failures=failures)


async def _claimed(installation_id: str) -> Check | None:
    """The check whose turn it is, ours until its lease ends: `tries` says which claim this is."""
    now = clock.now()
    owed = Check.filter(repository__installation_id=installation_id, next_at__lte=now)
    for which in PRECEDENCE:
        check = await owed.filter(which).order_by("wanted_at", "id").first()
        if check is None:
            continue
        mine = Check.filter(id=check.id, next_at=check.next_at, tries=check.tries)
        if not await mine.update(next_at=now + LEASE, tries=check.tries + 1):
            return None
        check.tries += 1
        return check
    return None


# -- telling ---------------------------------------------------------------------------------------------------------


async def _tell(check: Check, installation: Installation, teller: Teller) -> None:
    async with asyncio.timeout(PATIENCE):
        repository = await Repository.get(id=check.repository_id)
        if check.is_status or installation.permissions.get("checks") != "write":
            await _tell_status(check, repository, teller)
        else:
            check.number = await _tell_check(check, repository, teller)
    await _told(check)


async def _tell_check(check: Check, repository: Repository, teller: Teller) -> int | None:
    """Its number; None for one that GitHub is not to have any more, since it shows of a name what came last."""
    body = await check_bodies.body_of(check)
    number = check.number
    if number is None and check.tries > 1:  # an earlier try may have reached GitHub, and only its answer not us
        number = await teller.find_check(repository, check.head_sha, check.name, body["external_id"])
    if number is None:
        return None if await checks.is_overtaken(check) else await teller.create_check(repository, body)
    await teller.update_check(repository, number, {key: value for key, value in body.items() if key != "head_sha"})
    return number


async def _tell_status(check: Check, repository: Repository, teller: Teller) -> None:
    if not check.is_final and check.sent_number:
        return  # it is pending there already
    if await checks.is_overtaken(check):
        return
    body = commit_statuses.body_of(await check_bodies.body_of(check))
    await teller.create_status(repository, check.head_sha, body)


async def _told(check: Check) -> None:
    """What was said meanwhile is owed again: at once if it has ended."""
    now = clock.now()
    mine = Check.filter(id=check.id, tries=check.tries)
    told: dict[str, Any] = {"number": check.number, "sent_number": check.wanted_number, "sent_at": now}
    told |= {"tries": 0, "failure": None}
    if await mine.filter(wanted_number=check.wanted_number).update(**told, next_at=None):
        return
    if not await mine.filter(is_final=True).update(**told, next_at=now):
        await mine.update(**told, next_at=now + PROGRESS_EVERY)


async def _later(check: Check, why: str, not_before: datetime | None, longest: timedelta = LONGEST_WAIT) -> None:
    now = clock.now()
    next_at = max(now + _doubled(check.tries, longest), not_before or now)
    again_at = next_at if now - check.wanted_at < GIVE_UP else None
    await Check.filter(id=check.id, tries=check.tries).update(next_at=again_at, failure=why)
    log.warning("a check could not be told to GitHub", check=check.id, reason=why, again_at=again_at)


def _doubled(failures: int, longest: timedelta) -> timedelta:
    """A wait that doubles with each failure in a row."""
    return min(timedelta(seconds=2 ** min(failures, 16)), longest)


async def _refused(check: Check, refusal: Refused) -> None:
    """An installation that lets nothing through may do so again; one that lets us write no checks may take statuses.
    Any other no can be about a commit that GitHub does not see yet, and branch protection waits for what was not told.
    """
    installation = await Installation.get(repositories__id=check.repository_id)
    if installation.trouble:
        await _later(check, installation.trouble, clock.now() + LONGEST_WAIT)
        return
    log.warning("GitHub refused a check", check=check.id, status=refusal.status, reason=refusal.message)
    mine = Check.filter(id=check.id, tries=check.tries)
    if refusal.status == 403 and not check.is_status:
        await mine.update(is_status=True, next_at=clock.now(), tries=0, failure=refusal.sentence)
    elif check.is_status and (refusal.status == 403 or NO_MORE_STATUSES in refusal.message):
        await mine.filter(wanted_number=check.wanted_number).update(next_at=None, tries=0, failure=refusal.sentence)
    else:
        await _later(check, refusal.sentence, None, LONGEST_WAIT_AFTER_NO)

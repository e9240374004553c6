"""What GitHub could not deliver: found in its own log, asked for again, or fetched.

GitHub tries each delivery once.  So every few minutes its log is read, back to where it was read last, and what nobody
heard and we lack is noted in a row of its own; from then on it may leave the log's first pages without being lost.
GitHub is asked to send it again.  Where that fails too, our address cannot be reached from there: then the payload is
fetched and stored as if it had been delivered, and for as long as nothing arrives, every lost one at once.  A look is
bounded and remembers where it was.  Source: `github-app.md` §3.6.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import structlog
from tortoise.exceptions import IntegrityError
from tortoise.expressions import Q
from tortoise.queryset import QuerySet

from app import bell, clock
from app.errors import StateroomError
from github_app import client, delivery_log, events, inbox
from github_app.client import Client, Refused, Unreachable
from github_app.delivery_log import KEPT, Attempt
from github_app.inbox import Message
from github_app.models import Delivery, DeliveryLook, GitHubApp, LostDelivery

log = structlog.get_logger(__name__)

EVERY = timedelta(minutes=5)
#: Where nothing arrives by itself, looks are how deliveries come; also while a look has not come to its end.
OFTEN, ONWARD = timedelta(minutes=1), timedelta(seconds=10)
#: An attempt is in the log once it has ended, so a later look reads a little of what it knows.
OVERLAP = timedelta(minutes=10)
#: What one look asks at most: pages of the log, and lost deliveries.
MOST_PAGES, MOST_RECOVERED = 10, 50
#: Seconds after which a look begins nothing new.  A call takes a minute at most, so it has ended within the lease.
LONGEST = 60
LEASE = timedelta(minutes=3)
#: Seconds between two calls that make GitHub do something.
BETWEEN = 1.0
#: So often GitHub is asked to send one again before it is fetched.
MOST_ASKED = 2
LONGEST_WAIT = timedelta(hours=1)


async def look_due() -> int:
    """Look for each app whose turn it is; how many."""
    now = clock.now()
    free = Q(look__held_until=None) | Q(look__held_until__lte=now)
    waiting = GitHubApp.filter(Q(look__app_id=None) | Q(free, look__next_at__lte=now))
    looked = 0
    for app in await waiting.order_by("created_at", "id"):
        look = await _held(app)
        if look is not None:
            await _Look(app, look).go()
            looked += 1
    return looked


async def _held(app: GitHubApp) -> DeliveryLook | None:
    """The app's look, held by us; None if another worker is at it, or it is too early."""
    now = clock.now()
    free = DeliveryLook.filter(Q(held_until=None) | Q(held_until__lte=now), app_id=app.id, next_at__lte=now)
    if await free.update(held_until=now + LEASE):
        return await DeliveryLook.get(app_id=app.id)
    if await DeliveryLook.filter(app_id=app.id).exists():
        return None
    try:
        return await DeliveryLook.create(app_id=app.id, held_until=now + LEASE, next_at=now)
    except IntegrityError:  # another worker, in the same moment
        return None


class _Look:
    """One look, by whoever holds its row.  Whatever ends it early, the next goes on where it was."""

    def __init__(self, app: GitHubApp, look: DeliveryLook) -> None:
        self._app, self._row = app, look
        self._until = clock.monotonic() + LONGEST
        self._asked_at = float("-inf")

    async def go(self) -> None:
        wait: timedelta | None = None
        not_before: datetime | None = None
        try:
            ours = await client.of(self._app.id)
            is_read = await self._read(ours)
            is_empty = await self._recover(ours)
            wait = (OFTEN if self._row.unreached_at else EVERY) if is_read and is_empty else ONWARD
        except Unreachable as error:
            not_before = error.not_before
            log.warning("GitHub's log of deliveries cannot be read now", app=self._app.id, reason=error.sentence)
        except StateroomError as error:
            log.warning("GitHub does not show its log of deliveries", app=self._app.id, reason=error.sentence)
        finally:
            await self._let_go(wait, not_before)

    # -- reading the log -----------------------------------------------------------------------------------------

    async def _read(self, ours: Client) -> bool:
        """Note what is lost, from the newest attempt back to what an earlier look has seen; whether it got there."""
        row = self._row
        known = max((row.seen_at or self._app.created_at) - OVERLAP, clock.now() - KEPT)
        for _ in range(MOST_PAGES):
            if self._is_late:
                return False
            page = await self._page(ours)
            newer = [one for one in page.attempts if one.delivered_at >= known]
            await self._note(newer)
            if row.reading_from is None and page.attempts:
                row.reading_from = page.attempts[0].delivered_at
            row.cursor = page.cursor if newer else None
            if row.cursor is None:
                row.seen_at, row.reading_from = row.reading_from or row.seen_at, None
            await self._keep()
            if row.cursor is None:
                return True
        return False

    async def _page(self, ours: Client) -> delivery_log.Page:
        try:
            return await delivery_log.page(ours, self._row.cursor)
        except Refused as refusal:
            if self._row.cursor is not None and refusal.status in (400, 422):  # it leads nowhere any more
                self._row.cursor = self._row.reading_from = None
                await self._keep()
            raise

    async def _note(self, attempts: list[Attempt]) -> None:
        """Keep a row of each delivery that nobody heard, that means something to us and that we lack."""
        heard = {one.guid for one in attempts if one.was_heard}
        unheard = {one.guid: one for one in attempts if _is_wanted(one) and one.guid not in heard}
        since = self._row.unreached_at
        if since is not None and any(one.was_heard and one.delivered_at > since for one in attempts):
            log.info("GitHub's deliveries arrive again", app=self._app.id)
            self._row.unreached_at = self._row.trouble = None
        if not unheard:
            return
        for model in (Delivery, LostDelivery):
            there = model.filter(app_id=self._app.id, guid__in=list(unheard))
            for guid in await there.values_list("guid", flat=True):
                unheard.pop(str(guid), None)
        for one in reversed(unheard.values()):
            await self._note_lost(one)

    async def _note_lost(self, one: Attempt) -> None:
        log.info("a delivery of GitHub's was lost", app=self._app.id, guid=one.guid, said=one.status)
        lost = LostDelivery(app_id=self._app.id, guid=one.guid, event=one.event, number=one.number)
        lost.delivered_at, lost.status, lost.next_at = one.delivered_at, one.status[:255], clock.now()
        try:
            await lost.save(force_create=True)
        except IntegrityError:  # by a worker that was taken for dead
            return

    # -- getting what is lost ------------------------------------------------------------------------------------

    async def _recover(self, ours: Client) -> bool:
        """Get what is lost and due, the oldest first; whether none is left."""
        due = LostDelivery.filter(app_id=self._app.id, next_at__lte=clock.now()).order_by("delivered_at", "id")
        batch = await due.limit(MOST_RECOVERED)
        for lost in batch:
            if self._is_late:
                return False
            await self._recover_one(ours, lost)
        return len(batch) < MOST_RECOVERED

    async def _recover_one(self, ours: Client, lost: LostDelivery) -> None:
        if await Delivery.filter(app_id=self._app.id, guid=lost.guid).exists():
            await lost.delete()
            return
        if clock.now() - lost.delivered_at > KEPT:
            gone = log.bind(app=self._app.id, guid=lost.guid, github_event=lost.event)
            gone.warning("a delivery of GitHub's is lost for good", said=lost.status)
            await lost.delete()
            return
        lost.tries += 1
        try:
            if self._row.unreached_at is None and lost.tries <= MOST_ASKED:
                await self._ask(ours, lost)
            else:
                await self._fetch(ours, lost)
                return
        except Refused as refusal:
            log.warning("a lost delivery cannot be had", app=self._app.id, guid=lost.guid, reason=refusal.sentence)
        wait = min(EVERY * 2 ** max(lost.tries - MOST_ASKED, 0), LONGEST_WAIT) - ONWARD
        await LostDelivery.filter(id=lost.id).update(tries=lost.tries, next_at=clock.now() + wait)

    async def _ask(self, ours: Client, lost: LostDelivery) -> None:
        await asyncio.sleep(max(0.0, self._asked_at + BETWEEN - clock.monotonic()))
        try:
            await delivery_log.redeliver(ours, lost.number)
        finally:
            self._asked_at = clock.monotonic()

    async def _fetch(self, ours: Client, lost: LostDelivery) -> None:
        body = await delivery_log.payload(ours, lost.number)
        await inbox.store(self._app, Message(lost.guid, lost.event, body, was_fetched=True))
        await lost.delete()
        await bell.ring()
        if self._row.unreached_at is None:
            log.warning("GitHub's deliveries do not arrive, so they are fetched", app=self._app.id, said=lost.status)
            self._row.unreached_at, self._row.trouble = clock.now(), lost.status
            await self._keep()

    # -- the row ---------------------------------------------------------------------------------------------------

    @property
    def _is_late(self) -> bool:
        return clock.monotonic() > self._until

    async def _keep(self) -> None:
        kept = ("seen_at", "cursor", "reading_from", "unreached_at", "trouble")
        await self._ours.update(**{name: getattr(self._row, name) for name in kept})

    async def _let_go(self, wait: timedelta | None, not_before: datetime | None) -> None:
        """*wait* is None after a failure: each in a row doubles it, and *not_before* is what GitHub asked for."""
        now = clock.now()
        failures = self._row.failures + 1 if wait is None else 0
        if wait is None:
            wait = min(OFTEN * 2 ** min(failures - 1, 10), LONGEST_WAIT)
        next_at = max(now + wait, not_before or now)
        await self._ours.update(held_until=None, next_at=next_at, failures=failures)

    @property
    def _ours(self) -> QuerySet[DeliveryLook]:
        return DeliveryLook.filter(app_id=self._app.id, held_until=self._row.held_until)


def _is_wanted(one: Attempt) -> bool:
    """Whether something follows from it, and it has the form of a delivery."""
    fits = 0 < len(one.guid) <= 64 and 0 < len(one.event) <= 64
    return fits and not one.was_heard and events.handler_of(one.event, one.action) is not None

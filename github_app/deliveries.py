"""The worker's side of the inbox: each delivery is processed once it can be, by one worker at a time.

The deliveries of one repository are processed in the order they came, those of different ones side by side.  A failure
is tried three times more; one that GitHub asked to wait for counts as none.  What failed for good stands in
nobody's way: the next delivery finds the live commit, and a replay finds this one.  Source: `github-app.md` §3.1.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta

import structlog
from tortoise.expressions import F, Q

from app import clock
from app.errors import StateroomError, Unavailable
from app.storage import database
from app.storage.database import in_transaction
from github_app import events, inbox
from github_app.client import Unreachable
from github_app.models import Delivery, GitHubApp
from github_app.payloads import Unreadable

log = structlog.get_logger(__name__)

#: Seconds until a failed one is tried again; after the last it has failed.
PAUSES = (1, 10, 60)
#: How long after a worker's last sign another may begin anew what it processed; nothing is done twice then (`heads`).
LEASE = timedelta(seconds=60)
#: Deliveries that one worker processes side by side.
AT_ONCE = 4


async def process_waiting() -> int:
    """Process what waits now; how many there were."""
    done = 0
    while batch := await _claim(AT_ONCE):
        async with _held(batch):
            await asyncio.gather(*(_process(delivery) for delivery in batch))
        done += len(batch)
    return done


async def _claim(most: int) -> list[Delivery]:
    """Up to *most* deliveries, the oldest that may be processed, each of another repository."""
    now = clock.now()
    if not await Delivery.filter(_waiting(now)).exists():
        return []
    async with in_transaction():
        await database.lock("github deliveries")
        at_work = await Delivery.filter(state=inbox.RECEIVED, claimed_until__gt=now).values_list(
            "app_id", "repository_id"
        )
        busy = set(map(tuple, at_work))
        chosen: list[str] = []
        waiting = Delivery.filter(_waiting(now)).order_by("received_at", "id").limit(200)
        for delivery_id, app_id, repository_id in await waiting.values_list("id", "app_id", "repository_id"):
            if len(chosen) < most and (repository_id is None or (app_id, repository_id) not in busy):
                busy.add((app_id, repository_id))
                chosen.append(delivery_id)
        await Delivery.filter(id__in=chosen).update(claimed_until=now + LEASE, tries=F("tries") + 1)
    return await Delivery.filter(id__in=chosen).order_by("received_at", "id") if chosen else []


def _waiting(now: datetime) -> Q:
    free = Q(claimed_until=None) | Q(claimed_until__lte=now)
    return Q(state=inbox.RECEIVED) & free & (Q(next_at=None) | Q(next_at__lte=now))


@asynccontextmanager
async def _held(batch: list[Delivery]) -> AsyncIterator[None]:
    """Keep *batch* ours while it is processed."""

    async def renew() -> None:
        while True:
            await asyncio.sleep(LEASE.total_seconds() / 4)
            mine = Delivery.filter(id__in=[delivery.id for delivery in batch], claimed_until__not_isnull=True)
            with suppress(Unavailable):
                await mine.update(claimed_until=clock.now() + LEASE)

    renewing = asyncio.ensure_future(renew())
    try:
        yield
    finally:
        renewing.cancel()
        await asyncio.wait({renewing})


async def _process(delivery: Delivery) -> None:
    try:
        app = await GitHubApp.get(id=delivery.app_id)
        state, reason = await events.handle(app, delivery, await inbox.body_of(delivery))
    except Unreadable as error:
        await _fail(delivery, f"The delivery cannot be read: {error}.")
    except Unreachable as error:
        await _postpone(delivery, error.sentence, not_before=error.not_before)
    except Unavailable as error:
        await _postpone(delivery, error.sentence)
    except StateroomError as error:
        await _fail(delivery, error.sentence)
    except Exception as error:
        log.exception("a delivery could not be processed", delivery=delivery.id)
        await _postpone(delivery, f"An error of ours ({type(error).__name__}); the server's log has it.")
    else:
        await _end(delivery, state, reason)


async def _fail(delivery: Delivery, reason: str) -> None:
    app = await GitHubApp.get(id=delivery.app_id)
    await events.give_up(app, delivery, await inbox.body_of(delivery), reason)
    await _end(delivery, inbox.FAILED, reason)


async def _end(delivery: Delivery, state: str, reason: str) -> None:
    log.info("delivery processed", delivery=delivery.id, github_event=delivery.event, state=state, reason=reason)
    mine = Delivery.filter(id=delivery.id, tries=delivery.tries, state=inbox.RECEIVED)
    await mine.update(state=state, reason=reason, ended_at=clock.now(), claimed_until=None, next_at=None)


async def _postpone(delivery: Delivery, reason: str, *, not_before: datetime | None = None) -> None:
    """Give it back, to be tried later.  When GitHub says how long to wait, that was no try."""
    if not_before is None and delivery.tries > len(PAUSES):
        await _fail(delivery, reason)
        return
    tries = delivery.tries if not_before is None else delivery.tries - 1
    pause = timedelta(seconds=PAUSES[min(delivery.tries, len(PAUSES)) - 1])
    log.info("delivery postponed", delivery=delivery.id, github_event=delivery.event, tries=tries, reason=reason)
    mine = Delivery.filter(id=delivery.id, tries=delivery.tries, state=inbox.RECEIVED)
    await mine.update(next_at=not_before or clock.now() + pause, tries=tries, reason=reason, claimed_until=None)

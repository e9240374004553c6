"""Deliveries: stored once, whatever GitHub repeats, and kept until somebody has dealt with them."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import timedelta
from typing import ParamSpec, TypeVar

from tortoise.exceptions import IntegrityError

from app import clock, ids
from app.errors import NotFound
from app.storage import crypto
from app.storage.database import in_transaction
from github_app.models import Delivery, DeliveryBody, GitHubApp
from github_app.payloads import Envelope, InstallationRef, Repository, Unreadable, read

Given = ParamSpec("Given")
Result = TypeVar("Result")

RECEIVED, DONE, IGNORED, FAILED = "received", "done", "ignored", "failed"

#: How long what has ended can be read and replayed.  GitHub keeps a delivery for a week at most, and for as long asks
#: whoever has lost it whether it is here.
KEPT = timedelta(days=30)
#: Most that one call of `forget_old` deletes.
AT_ONCE = 500
#: A longer body is packed, sealed and looked into by a thread: it would hold up everybody else.
SHORT = 256 * 1024


@dataclass(frozen=True, slots=True)
class Message:
    """What came: GitHub's id of the delivery, the event's name, and the body as it came, or as it was fetched from
    GitHub because it could not come."""

    guid: str
    event: str
    body: bytes
    was_fetched: bool = False


async def store(app: GitHubApp, message: Message) -> Delivery:
    """Keep *message*; when this returns it is not lost any more.

    One that is there already is not stored again.  If it failed it is given another try, since that is what
    somebody wants who asks GitHub to send it again.
    """
    known = await Delivery.get_or_none(app_id=app.id, guid=message.guid)
    if known is None:
        try:
            return await _insert(app, message)
        except IntegrityError:  # the same one, at the same time
            known = await Delivery.get(app_id=app.id, guid=message.guid)
    await again(known)
    return known


async def again(delivery: Delivery, ended: Collection[str] = (FAILED,)) -> bool:
    """Let one that failed, or that *ended* like this, be processed once more; whether it had."""
    had = Delivery.filter(id=delivery.id, state__in=list(ended))
    return bool(await had.update(state=RECEIVED, tries=0, reason=None, ended_at=None))


async def forget_old() -> int:
    """Delete deliveries that came more than thirty days ago and have ended, the oldest first.  How many."""
    forgotten = 0
    for app_id in await GitHubApp.all().values_list("id", flat=True):
        old = Delivery.filter(app_id=app_id, received_at__lt=clock.now() - KEPT).exclude(state=RECEIVED)
        chosen = await old.order_by("received_at", "id").limit(AT_ONCE).values_list("id", flat=True)
        # Not one that somebody has let be processed again since.
        await Delivery.filter(id__in=list(chosen)).exclude(state=RECEIVED).delete()
        forgotten += len(chosen)
    return forgotten


async def body_of(delivery: Delivery) -> bytes:
    """Raises NotFound if the delivery was forgotten meanwhile."""
    kept = await DeliveryBody.get_or_none(delivery_id=delivery.id)
    if kept is None:
        raise NotFound("The delivery came more than thirty days ago and is not kept any more.")
    return await _elsewhere(len(kept.sealed_body), _unpacked, kept)


async def _insert(app: GitHubApp, message: Message) -> Delivery:
    delivery_id, length = ids.new("github_delivery"), len(message.body)
    about = await _elsewhere(length, _envelope, message.body)
    kept = await _elsewhere(length, _packed, delivery_id, message.body)
    delivery = Delivery(id=delivery_id, app_id=app.id, guid=message.guid, event=message.event, state=RECEIVED)
    delivery.action = about.action[:64] if about.action else None
    delivery.installation_id = _number(about.installation)
    delivery.repository_id = _number(about.repository)
    delivery.received_at = clock.now()
    async with in_transaction():
        await delivery.save(force_create=True)
        await kept.save(force_create=True)
        if app.heard_at is None and not message.was_fetched:
            await GitHubApp.filter(id=app.id, heard_at=None).update(heard_at=delivery.received_at)
    return delivery


def _envelope(body: bytes) -> Envelope:
    """Where it belongs.  One that cannot be read belongs nowhere yet: it is kept, and fails where it is processed."""
    try:
        return read(Envelope, body)
    except Unreadable:
        return Envelope()


def _number(of: InstallationRef | Repository | None) -> int | None:
    return of.id or None if of is not None else None


def _packed(delivery_id: str, body: bytes) -> DeliveryBody:
    kept = DeliveryBody(delivery_id=delivery_id)
    kept.sealed_body = crypto.seal(zlib.compress(body, 1), context=kept.sealed_context)
    return kept


def _unpacked(kept: DeliveryBody) -> bytes:
    return zlib.decompress(crypto.open_sealed(bytes(kept.sealed_body), context=kept.sealed_context))


async def _elsewhere(length: int, work: Callable[Given, Result], *given: Given.args, **named: Given.kwargs) -> Result:
    if length > SHORT:
        return await asyncio.to_thread(work, *given, **named)
    return work(*given, **named)

"""What GitHub told, for site admins: the deliveries that are kept, and one more go at one of them.

A replay processes the delivery as if it had just come.  It is a reason to look, as ever: the live commit decides, so
what was handled is not handled twice.
"""

from __future__ import annotations

import re

from tortoise.expressions import Q

from app import bell
from app.access.actors import Actor
from app.access.permissions import require_on_site
from app.errors import Conflict, NotFound
from github_app import inbox
from github_app.models import Delivery

STATES = (inbox.RECEIVED, inbox.DONE, inbox.IGNORED, inbox.FAILED)
#: Somebody pressed a button at GitHub.  That asks for another plan each time, so what was done stays done.
CLICKS = frozenset({"check_run", "check_suite"})
_EVENT = re.compile(r"[a-z_]{1,64}(\.[a-z_]{1,64})?", re.ASCII)


async def visible(actor: Actor, *, state: str = "", event: str = "", before: str = "", most: int) -> list[Delivery]:
    """The newest first, their apps loaded: those in *state*, of *event* (``"push"``, ``"pull_request.opened"``), and
    those that came before the delivery with the id *before*.  "" asks for all."""
    await require_on_site(actor, "github-delivery:read")
    found = Delivery.all()
    if state:
        found = found.filter(state=state)
    if event:
        name, _, action = event.partition(".")
        if not _EVENT.fullmatch(event):
            return []
        found = found.filter(event=name, action=action) if action else found.filter(event=name)
    if before and (last := await Delivery.get_or_none(id=before)) is not None:
        older = Q(received_at__lt=last.received_at) | Q(received_at=last.received_at, id__lt=last.id)
        found = found.filter(older)
    return await found.order_by("-received_at", "-id").limit(most).prefetch_related("app")


async def shown(actor: Actor, delivery_id: str) -> Delivery:
    await require_on_site(actor, "github-delivery:read")
    delivery = await Delivery.filter(id=delivery_id).prefetch_related("app").first()
    if delivery is None:
        raise NotFound("There is no such delivery here.")
    return delivery


def refusal(delivery: Delivery) -> str | None:
    """Why it cannot be replayed, as a sentence."""
    if delivery.state == inbox.RECEIVED:
        return "It waits to be processed, or is being processed: there is nothing to replay yet."
    if delivery.event in CLICKS and delivery.state != inbox.FAILED:
        return "It told of a button that somebody pressed, and that was dealt with. Press it again at GitHub."
    return None


async def replay(actor: Actor, delivery: Delivery) -> None:
    """Have one that has ended processed once more.  Raises Conflict for any other."""
    await require_on_site(actor, "github-delivery:replay")
    ended = (inbox.FAILED,) if delivery.event in CLICKS else (inbox.DONE, inbox.IGNORED, inbox.FAILED)
    if not await inbox.again(delivery, ended):
        await delivery.refresh_from_db(fields=["state"])
        raise Conflict(refusal(delivery) or "It is being replayed already.")
    await bell.ring()

"""GitHub's own log of what it delivered to an app, or could not: read, and asked to send something again.

GitHub keeps three days of it, one entry for each attempt; the attempts of one delivery share its `guid`.  All of it is
asked as the app itself.  Source: `github-app.md` §3.6 of the protocol notes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import msgspec

from github_app.client import Call, Client, Refused

PAGE = 100
#: What is older can neither be seen nor sent again.
KEPT = timedelta(days=3)


class Attempt(msgspec.Struct):
    """One time that GitHub tried; `number` is what GitHub calls the delivery's id."""

    number: int = msgspec.field(name="id")
    guid: str
    event: str
    delivered_at: datetime
    status: str
    status_code: int = 0
    action: str | None = None

    @property
    def was_heard(self) -> bool:
        return self.status == "OK" or 200 <= self.status_code < 300


@dataclass(frozen=True, slots=True)
class Page:
    """The newest attempts first; `cursor` leads to the next page, None if this is the last."""

    attempts: list[Attempt]
    cursor: str | None


class _Request(msgspec.Struct):
    payload: msgspec.Raw


class _Whole(msgspec.Struct):
    request: _Request


async def page(ours: Client, cursor: str | None = None) -> Page:
    query: dict[str, str | int] = {"per_page": PAGE}
    if cursor is not None:
        query["cursor"] = cursor
    answer = await ours.as_app(Call("GET", "/app/hook/deliveries", query))
    return Page(answer.read(list[Attempt]), _next(answer.headers.get("link", "")))


async def redeliver(ours: Client, number: int) -> None:
    """Ask GitHub to make another attempt; it does so soon, under the same guid."""
    answer = await ours.as_app(Call("POST", f"/app/hook/deliveries/{number}/attempts"))
    if answer.status >= 300:
        raise answer.refusal()


async def payload(ours: Client, number: int) -> bytes:
    """What GitHub tried to deliver.  It comes without a signature and needs none: GitHub was asked for it."""
    answer = await ours.as_app(Call("GET", f"/app/hook/deliveries/{number}"))
    found = bytes(answer.read(_Whole).request.payload)
    if not found.startswith(b"{"):
        raise Refused(answer.status, "no payload", sentence=f"GitHub keeps no payload of its delivery {number}.")
    return found


def _next(link: str) -> str | None:
    """The cursor in the address of the next page (RFC 8288)."""
    for part in link.split(","):
        address, _, parameters = part.partition(";")
        if 'rel="next"' in parameters:
            cursors = parse_qs(urlsplit(address.strip().strip("<>")).query).get("cursor", [])
            return cursors[0] if cursors else None
    return None

"""How long GitHub wants to be left alone.

Whoever goes on calling may be banned, so what an answer said of limits is remembered for the installation it was given
to.  Source: `github-app.md` §2.3 of the protocol notes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from app import clock

#: After a secondary limit that names no time; doubled by each that follows.
FIRST_WAIT = timedelta(seconds=60)
#: The primary limit starts anew each hour; a header that says more is not believed.
MOST_WAIT = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Budget:
    """The primary limit, as GitHub told it last."""

    limit: int
    remaining: int
    resets_at: datetime

    @property
    def is_scarce(self) -> bool:
        """Less than a tenth is left: only what somebody waits for is asked."""
        return self.remaining * 10 < self.limit and clock.now() < self.resets_at


class Seen:
    """What the answers to one installation said."""

    def __init__(self) -> None:
        self.budget: Budget | None = None
        self._until: datetime | None = None
        self._strikes = 0

    def limited_until(self) -> datetime | None:
        return self._until if self._until is not None and clock.now() < self._until else None

    def note(self, status: int, headers: Mapping[str, str], message: str) -> datetime | None:
        """When the next call may be made, if this answer says that there were too many."""
        self._note_budget(headers)
        wait = self._wait(status, headers, message)
        if wait is None:
            if status < 400:
                self._strikes = 0
            return None
        self._until = clock.now() + min(max(wait, timedelta(seconds=1)), MOST_WAIT)
        return self._until

    def _wait(self, status: int, headers: Mapping[str, str], message: str) -> timedelta | None:
        """GitHub's three forms, in the order it asks for; a bare 429 is taken as the third."""
        if status not in (403, 429):
            return None
        if "retry-after" in headers and (wait := _retry_after(headers)) is not None:
            return wait
        if headers.get("x-ratelimit-remaining") == "0" and self.budget is not None:
            return self.budget.resets_at - clock.now()
        if status == 403 and "rate limit" not in message.lower() and "abuse" not in message.lower():
            return None
        self._strikes += 1
        return FIRST_WAIT * 2 ** min(self._strikes - 1, 10)

    def _note_budget(self, headers: Mapping[str, str]) -> None:
        """The moment of the reset is GitHub's, so it is moved by what our clock differs."""
        try:
            limit, remaining, reset = (int(headers[f"x-ratelimit-{name}"]) for name in ("limit", "remaining", "reset"))
            resets_at = datetime.fromtimestamp(reset, UTC)
        except (KeyError, ValueError, OverflowError, OSError):
            return  # an Enterprise Server without limits
        if (theirs := _date(headers.get("date", ""))) is not None:
            resets_at += clock.now() - theirs
        self.budget = Budget(limit, remaining, resets_at)


def _retry_after(headers: Mapping[str, str]) -> timedelta | None:
    """In seconds or, as HTTP allows too, as a date."""
    said = headers["retry-after"].strip()
    if said.isascii() and said.isdigit():
        return timedelta(seconds=min(int(said[:9]), 10**6))
    moment = _date(said)
    now = _date(headers.get("date", "")) or clock.now()
    return moment - now if moment is not None else None


def _date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    return moment if moment.tzinfo else None

"""The part of GitHub that hears checks, in memory, with its limits; and time that passes when a test says so."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from app import clock
from app.vcs.models import Installation, Repository
from github_app import outbox
from github_app.api import Refused, Unreachable
from github_app.models import Check

MOST_A_MINUTE = 80


class Virtual:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.moment = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)

    def now(self) -> datetime:
        return self.moment

    def monotonic(self) -> float:
        return self.moment.timestamp()

    def pass_(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)


@dataclass
class Hearing:
    """What was heard.  `fault` is called before and after each call that writes, with its name and "before" or
    "after"; what it raises is what the caller hears."""

    checks: dict[int, dict[str, Any]] = field(default_factory=dict)
    statuses: list[dict[str, Any]] = field(default_factory=list)
    calls: list[tuple[datetime, str, str]] = field(default_factory=list)
    fault: Callable[[str, str], None] = lambda name, moment: None
    _numbers: Any = field(default_factory=lambda: itertools.count(100))

    def of(self, installation: Installation) -> Hearing:
        return self

    async def create_check(self, repository: Repository, body: dict[str, Any]) -> int:
        self._take("create", body["name"])
        number = next(self._numbers)
        self.checks[number] = body
        self.fault("create", "after")
        return number

    async def update_check(self, repository: Repository, number: int, body: dict[str, Any]) -> None:
        self._take("update", body["name"])
        if number not in self.checks:
            raise Refused(404, "Not Found")
        assert "head_sha" not in body
        self.checks[number] = {**self.checks[number], **body}
        self.fault("update", "after")

    async def find_check(self, repository: Repository, sha: str, name: str, external_id: str) -> int | None:
        found = [
            number
            for number, body in self.checks.items()
            if (body["head_sha"], body["name"], body["external_id"]) == (sha, name, external_id)
        ]
        return found[-1] if found else None

    async def create_status(self, repository: Repository, sha: str, body: dict[str, Any]) -> None:
        self._take("status", body["context"])
        assert len(body["description"]) <= 140
        self.statuses.append(body)

    def of_name(self, name: str) -> dict[str, Any]:
        """The one check of that name."""
        [found] = [body for body in self.checks.values() if body["name"] == name]
        return found

    def _take(self, call: str, name: str) -> None:
        self.fault(call, "before")
        now = clock.now()
        recent = [at for at, *_ in self.calls if now - at < timedelta(minutes=1)]
        self.calls.append((now, call, name))
        if len(recent) >= MOST_A_MINUTE:
            raise Unreachable("You have exceeded a secondary rate limit", not_before=now + timedelta(minutes=1))

    @property
    def shortest_gap(self) -> float:
        times = [at for at, *_ in self.calls]
        return min((later - at).total_seconds() for at, later in itertools.pairwise(times))


async def send_all(hearing: Hearing, time: Virtual, seconds: int = 600) -> None:
    """Let a worker do its chore each second, until nothing is owed any more."""
    for _ in range(seconds):
        await outbox.send(hearing.of)
        if not await Check.filter(next_at__not_isnull=True).exists():
            return
        time.pass_(1)
    raise AssertionError(f"still owed after {seconds} s")

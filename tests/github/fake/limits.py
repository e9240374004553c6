"""GitHub's limits, enforced: the hour's calls, the minute's points and contents, the calls in flight."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

SECONDARY = (
    "You have exceeded a secondary rate limit. Please wait a few minutes before you try again. For more on scraping"
    " GitHub and how it may affect your rights, please review our Terms of Service."
)


@dataclass
class Refusal:
    status: int
    headers: Mapping[str, str]
    message: str


@dataclass
class Limits:
    """Of one installation; change the numbers in a test.  *form* is how a secondary limit is told: `retry-after`,
    `date` (the same as a date) or `message` (nothing but the sentence)."""

    per_hour: int = 5000
    points_per_minute: int = 900
    contents_per_minute: int = 80
    in_flight: int = 100
    form: str = "retry-after"
    pause: int = 60
    flying: int = 0
    broken: int = 0
    used: int = 0
    reset: int = field(default_factory=lambda: int(time.time()) + 3600)
    _points: deque[tuple[float, int]] = field(default_factory=deque)
    _contents: deque[float] = field(default_factory=deque)

    def take(self, method: str, path: str) -> Refusal | None:
        """Count a call; what it is refused with, if it is one too many."""
        now = time.monotonic()
        if self.used >= self.per_hour:
            self.broken += 1
            return Refusal(403, {}, "API rate limit exceeded for installation ID.")
        self.used += 1
        writes = method in ("POST", "PATCH", "PUT", "DELETE") and "access_tokens" not in path
        self._points.append((now, 5 if writes else 1))
        while self._points and self._points[0][0] < now - 60:
            self._points.popleft()
        if writes:
            self._contents.append(now)
        while self._contents and self._contents[0] < now - 60:
            self._contents.popleft()
        if (
            sum(points for _, points in self._points) > self.points_per_minute
            or len(self._contents) > self.contents_per_minute
            or self.flying > self.in_flight
        ):
            self.broken += 1
            return self.secondary()
        return None

    def secondary(self) -> Refusal:
        headers = {}
        if self.form == "retry-after":
            headers["retry-after"] = str(self.pause)
        elif self.form == "date":
            until = time.gmtime(time.time() + self.pause)
            headers["retry-after"] = time.strftime("%a, %d %b %Y %H:%M:%S GMT", until)
        return Refusal(403, headers, SECONDARY)

    def headers(self) -> dict[str, str]:
        return {
            "x-ratelimit-limit": str(self.per_hour),
            "x-ratelimit-remaining": str(max(self.per_hour - self.used, 0)),
            "x-ratelimit-used": str(self.used),
            "x-ratelimit-reset": str(self.reset),
            "x-ratelimit-resource": "core",
        }

"""How pages write times, durations, numbers and counts."""

from __future__ import annotations

from datetime import datetime, timedelta

from markupsafe import Markup

from app import clock

MINUS = "−"
_THIN_SPACE = "\N{THIN SPACE}"
_DATED_AFTER = timedelta(days=30)


def number(count: int) -> str:
    return f"{count:,}".replace(",", _THIN_SPACE)


def size(length: int) -> str:
    """``412 kB``"""
    if length < 1000:
        return f"{length} B"
    if length < 1_000_000:
        return f"{length / 1000:.3g} kB"
    return f"{number(round(length / 1_000_000))} MB" if length >= 10_000_000 else f"{length / 1_000_000:.2g} MB"


def duration(seconds: float) -> str:
    """``0.2 s``, ``24 s``, ``9 min 41 s``, ``3 h 12 min``"""
    if seconds < 10:
        return f"{max(seconds, 0):.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def between(earlier: str | None, later: str | None) -> str:
    """The duration between two times as they stand on the wire; nothing where one is missing."""
    if earlier is None or later is None:
        return ""
    return duration((moment(later) - moment(earlier)).total_seconds())


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def ago(then: datetime) -> str:
    """``14 minutes ago``; after a month the date."""
    passed = clock.now() - then
    if passed > _DATED_AFTER:
        return f"{then.day} {then:%B %Y}"
    seconds = passed.total_seconds()
    for length, name in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        count = int(seconds // length)
        if count:
            return f"{count} {name}{'s' if count > 1 else ''} ago"
    return "just now"


def exactly(then: datetime) -> str:
    return f"{then.day} {then:%B %Y, %H:%M:%S} UTC"


def time_ago(then: datetime) -> Markup:
    return _time(then, ago(then))


def time_of_day(then: datetime) -> Markup:
    return _time(then, f"{then:%H:%M:%S}")


def _time(then: datetime, shown: str) -> Markup:
    markup = '<time datetime="{}" title="{}">{}</time>'
    return Markup(markup).format(clock.wire(then), exactly(then), shown)


def initials(name: str) -> str:
    return name[:2].upper()

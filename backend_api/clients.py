"""The terraforms that ask: which are known to work, and a word in the log about others."""

from __future__ import annotations

import re

import structlog

log = structlog.get_logger(__name__)

#: From which to which minor version docs/compatibility.md has seen them work.
KNOWN = ((0, 12), (1, 15))
_VERSION = re.compile(r"(\d{1,4})\.(\d{1,4})\.\d{1,4}(?:[-+][0-9A-Za-z.+-]{1,40})?")
_MOST = 100
_noticed: set[str] = set()


def notice(asking: str | None) -> None:
    """Say once, for each version outside of what is known to work, that it asks."""
    if asking is None or asking in _noticed or len(_noticed) >= _MOST or is_known(asking):
        return
    _noticed.add(asking)
    log.warning(
        "a terraform asks whose version was not tried with this server, see docs/compatibility.md",
        terraform=asking,
        tried=" to ".join(f"{major}.{minor}" for major, minor in KNOWN),
    )


def is_known(asking: str) -> bool:
    """Whether *asking* is within what was tried.  What is no version at all is nobody's terraform, and no news."""
    match = _VERSION.fullmatch(asking)
    return match is None or KNOWN[0] <= (int(match[1]), int(match[2])) <= KNOWN[1]

"""The second half of fetching a tarball: the address that GitHub sent us on to.

It carries a credential in its query, so it is neither logged nor told, and it may only be where GitHub's own archives
are.  Source: `github-app.md` §5.1 of the protocol notes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import httpx2

from app import clock, settings
from app.errors import TooLarge
from github_app.client import Refused, Unreachable

CHUNK = 1 << 18
#: Seconds: to connect, between two bytes, and for the whole archive.
CONNECT, SILENCE, PATIENCE = 10, 60, 900


async def stream(location: str, web_url: str, what: str) -> AsyncIterator[bytes]:
    """The bytes at *location*, at most `max_archive` of them; *what* names it in sentences.

    Raises Unreachable, `Refused` or TooLarge.
    """
    _check(location, web_url)
    most, length, end = int(settings.current().max_archive), 0, clock.monotonic() + PATIENCE
    timeout = httpx2.Timeout(SILENCE, connect=CONNECT)
    headers = {"user-agent": "stateroom", "accept-encoding": "identity"}
    try:
        async with (
            httpx2.AsyncClient(timeout=timeout, follow_redirects=False) as client,
            client.stream("GET", location, headers=headers) as response,
        ):
            _check_status(response.status_code, what)
            async for piece in response.aiter_raw(CHUNK):
                length += len(piece)
                if length > most:
                    raise TooLarge(f"{what} is longer than {most} bytes (STATEROOM_MAX_ARCHIVE).", limit=most)
                if clock.monotonic() > end:
                    raise Unreachable(f"{what} did not come within {PATIENCE} seconds.")
                yield piece
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:  # whose text may hold the address
        raise Unreachable(f"{what} did not come to its end: {type(error).__name__}.") from None


def _check(location: str, web_url: str) -> None:
    """An archive comes from GitHub's own host or one below it, `codeload.` as a rule; `http` only from a GitHub on
    this machine."""
    try:
        there, home = urlsplit(location), urlsplit(web_url)
        host = (there.hostname or "").lower()
    except ValueError:
        raise Refused(502, "the redirect is no address") from None
    if there.scheme != home.scheme or not (host == home.hostname or host.endswith(f".{home.hostname}")):
        raise Refused(502, f"its archive would have to be fetched from {host[:100]!r}, which is not {home.hostname}")


def _check_status(status: int, what: str) -> None:
    if status == 200:
        return
    if status >= 500 or status in (404, 410, 429):  # its address is good for five minutes: a new one may do
        raise Unreachable(f"{what} could not be fetched: GitHub answered {status}.")
    raise Refused(status, f"{what} could not be fetched")

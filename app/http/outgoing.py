"""Fetching from elsewhere: streamed, within limits, and where users gave the address, only from where a run may reach.

With a `Rule` every address of every host on the way is looked at before anything is sent, and the connection goes to
the address that was looked at.
"""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urljoin, urlsplit

import httpx2

from app.errors import StateroomError
from app.supervisor.addresses import Address, Refused, Rule

MOST_REDIRECTS = 5
_CHUNK = 1 << 20
_TIMEOUT = httpx2.Timeout(60, connect=20)
_REDIRECTS = (301, 302, 303, 307, 308)


class CannotFetch(StateroomError):
    """What was wanted did not come; the sentence says from where and why."""


class NotThere(CannotFetch):
    """The server says that it has no such thing."""


class Unreachable(CannotFetch):
    """Nobody answered, or not to the end: another try may work."""


def shown(url: str) -> str:
    """*url* as people may read it: without a query, which often is a capability."""
    return url.partition("?")[0].partition("#")[0]


class Outgoing:
    """Fetches by plain GETs.  Without a *rule* the machine's own proxy settings hold."""

    def __init__(self, *, ca_file: Path | None = None, rule: Rule | None = None) -> None:
        self._ca_file, self._rule = ca_file, rule

    async def read(self, url: str, *, limit: int) -> bytes:
        """The whole of a small thing.  Raises CannotFetch."""
        whole = bytearray()
        async for piece in self._pieces(url, limit):
            whole += piece
        return bytes(whole)

    async def save(self, url: str, file: BinaryIO, *, limit: int, go_on: Callable[[], bool] = lambda: True) -> str:
        """Write what is at *url* into *file*, as long as *go_on* says so, and give its SHA-256.  Raises CannotFetch."""
        digest = hashlib.sha256()
        async for piece in self._pieces(url, limit):
            if not go_on():
                raise CannotFetch(f"The download of {shown(url)} was stopped.")
            digest.update(piece)
            await asyncio.to_thread(file.write, piece)
        return digest.hexdigest()

    async def _pieces(self, url: str, limit: int) -> AsyncIterator[bytes]:
        length = 0
        try:
            async with self._answered(url) as response:
                _check_length(url, int(response.headers.get("content-length", "0") or 0), limit)
                async for piece in response.aiter_raw(_CHUNK):
                    length += len(piece)
                    _check_length(url, length, limit)
                    yield piece
        except httpx2.HTTPError as error:
            why = str(error) or type(error).__name__
            raise Unreachable(f"{shown(url)} could not be fetched: {why}.") from error
        except (httpx2.InvalidURL, ValueError, ssl.SSLError) as error:
            raise CannotFetch(f"{shown(url)} could not be fetched: {error}.") from error

    @asynccontextmanager
    async def _answered(self, url: str) -> AsyncIterator[httpx2.Response]:
        """The answer at the end of all redirects."""
        async with httpx2.AsyncClient(
            verify=self._context(), timeout=_TIMEOUT, trust_env=self._rule is None, follow_redirects=False
        ) as client:
            here = url
            for _ in range(MOST_REDIRECTS + 1):
                response = await self._get(client, here)
                try:
                    if response.status_code not in _REDIRECTS:
                        _check_status(here, response)
                        yield response
                        return
                    here = _next(here, response)
                finally:
                    await response.aclose()
        raise CannotFetch(f"{shown(url)} leads from one address to the next without an end.")

    async def _get(self, client: httpx2.AsyncClient, url: str) -> httpx2.Response:
        headers = {"accept-encoding": "identity", "user-agent": "stateroom"}
        if self._rule is None:
            return await client.send(client.build_request("GET", url, headers=headers), stream=True)
        parts = urlsplit(url)
        host, default = (parts.hostname or "").lower(), {"https": 443, "http": 80}.get(parts.scheme)
        port = parts.port or default or 0
        authority = f"[{host}]" if ":" in host else host
        headers["host"] = authority if port == default else f"{authority}:{port}"
        try:
            addresses = await asyncio.to_thread(self._rule.permit, host, port)
        except Refused as refusal:
            raise CannotFetch(
                f"{shown(url)} is not fetched: {refusal}. A site opens addresses with STATEROOM_EGRESS_ALLOW."
            ) from None
        for left in range(len(addresses) - 1, -1, -1):
            there = parts._replace(netloc=_netloc(addresses[len(addresses) - 1 - left], port)).geturl()
            request = client.build_request("GET", there, headers=headers, extensions={"sni_hostname": host})
            try:
                return await client.send(request, stream=True)
            except httpx2.ConnectError:
                if not left:
                    raise
        raise CannotFetch(f"{shown(url)} is not fetched: its host has no address.")

    def _context(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        if self._ca_file is not None:
            context.load_verify_locations(cafile=self._ca_file)
        return context


def _netloc(address: Address, port: int) -> str:
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"


def _next(here: str, response: httpx2.Response) -> str:
    there = urljoin(here, response.headers.get("location", ""))
    scheme = urlsplit(there).scheme
    if scheme not in ("https", "http") or (scheme == "http" and here.startswith("https:")):
        raise CannotFetch(f"{shown(here)} leads to {shown(there)}, which is not fetched: it is no https address.")
    return there


def _check_status(url: str, response: httpx2.Response) -> None:
    status = response.status_code
    if status in (404, 410):
        raise NotThere(f"There is nothing at {shown(url)} (it answered {status}).")
    if status >= 500 or status == 429:
        raise Unreachable(f"{shown(url)} could not be fetched: it answered {status}.")
    if status != 200:
        raise CannotFetch(f"{shown(url)} could not be fetched: it answered {status}.")


def _check_length(url: str, length: int, limit: int) -> None:
    if length > limit:
        raise CannotFetch(f"What {shown(url)} sends is longer than {limit} bytes and is not taken.")

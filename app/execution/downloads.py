"""Bringing releases and bundles to a worker: fetched, verified, and only then unpacked.

An official release is good if a key we trust signed the list of checksums, the list names the zip, and the zip has that
checksum.  A bundle is good if it has the checksum its administrator registered.  There is no third way.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from app.errors import StateroomError
from app.execution import cli_config, publishers, signatures
from app.execution.publishers import PUBLISHERS, Publisher
from app.execution.releases import Release
from app.execution.shelf import Shelf
from app.http.outgoing import CannotFetch, NotThere, Outgoing, Unreachable, shown
from app.settings import Settings
from app.supervisor.addresses import Rule
from app.tool_versions.models import ToolVersion
from app.workspaces import versions

T = TypeVar("T")
LARGEST_INDEX, LARGEST_LIST = 64 * 1024**2, 1024**2
TRIES = 3
RETRY_SECONDS = 1.0
#: Whether the download is still wanted.
GoOn = Callable[[], bool]


class CannotInstall(StateroomError):
    """A version could not be brought here; the sentence says why and what to do."""


async def index(engine: str, settings: Settings) -> Mapping[str, Sequence[str]]:
    """Every official release of *engine*, with its architectures.  Raises a StateroomError."""
    publisher = PUBLISHERS[engine]
    url = publisher.index(settings)
    document = await _outgoing(settings).read(url, limit=LARGEST_INDEX)
    return await asyncio.to_thread(publishers.parse, publisher, document, shown(url))


def can_verify(engine: str, settings: Settings) -> bool:
    """Whether there is a key that may sign *engine*'s releases."""
    return bool(signatures.keys(engine, settings.release_keys))


async def release(engine: str, version: str, settings: Settings, shelf: Shelf, go_on: GoOn) -> Release:
    """Bring the official release here.  Raises CannotInstall."""
    name = f"{versions.NAMES[engine]} {version}"
    try:
        sha256 = await _retried(lambda: _fetch_release(PUBLISHERS[engine], version, settings, shelf, go_on))
    except StateroomError as error:
        raise CannotInstall(f"{name} was not installed. {error.sentence}") from error
    shelf.remember(engine, version, sha256)
    return _found(shelf, sha256, engine, version)


async def bundle(tool: ToolVersion, settings: Settings, shelf: Shelf, go_on: GoOn) -> Release:
    """Bring the bundle an administrator registered here.  Raises CannotInstall."""
    place = architecture(tool)
    if shelf.get(place["sha"], tool.engine, tool.version) is None:
        rule = Rule(None if settings.egress_public else settings.egress_allow, settings.egress_allow)
        outgoing = _outgoing(settings, rule)
        try:
            await _retried(
                lambda: _fetch_archive(outgoing, place["url"], place["sha"], tool.engine, settings, shelf, go_on)
            )
        except StateroomError as error:
            name = f"{versions.NAMES[tool.engine]} {tool.version}"
            raise CannotInstall(f"{name}, a bundle, was not installed. {error.sentence}") from error
    return replace(_found(shelf, place["sha"], tool.engine, tool.version), bundle=_registered(tool))


def _registered(tool: ToolVersion) -> str:
    """The checksums for every kind of machine: a plan may be made on one and applied on another."""
    sums = sorted(f"{one['os']}_{one['arch']} {one['sha']}\n" for one in tool.archs)
    return hashlib.sha256("".join(sums).encode()).hexdigest()


def architecture(tool: ToolVersion) -> dict[str, str]:
    """The bundle's part for this kind of machine.  Raises CannotInstall."""
    os, _, arch = cli_config.this_platform().partition("_")
    for one in tool.archs:
        if (one["os"], one["arch"]) == (os, arch):
            return one
    raise CannotInstall(f"{versions.NAMES[tool.engine]} {tool.version} is not there for {os} on {arch}.")


def is_here(tool: ToolVersion, shelf: Shelf) -> bool:
    """Whether nothing needs to be fetched any more."""
    return shelf.get(architecture(tool)["sha"], tool.engine, tool.version) is not None


async def _fetch_release(publisher: Publisher, version: str, settings: Settings, shelf: Shelf, go_on: GoOn) -> str:
    """The SHA-256 of the release's zip, once it is on the shelf."""
    outgoing = _outgoing(settings)
    arch = cli_config.this_platform().partition("_")[2]
    archive, sums = (part.format(version=version, arch=arch) for part in (publisher.archive, publisher.sums))
    trusted = signatures.keys(publisher.engine, settings.release_keys)
    if not trusted:
        raise CannotInstall(
            f"There is no key that could vouch for it. Put {versions.NAMES[publisher.engine]}'s public key into a file"
            " that STATEROOM_RELEASE_KEYS names."
        )
    listed = await outgoing.read(publisher.url(settings, version, sums), limit=LARGEST_LIST)
    signatures.verify(sums, listed, await _signature(outgoing, publisher, settings, version), trusted)
    sha256 = _sum_of(archive, listed, sums)
    url = publisher.url(settings, version, archive)
    await _fetch_archive(outgoing, url, sha256, publisher.engine, settings, shelf, go_on)
    return sha256


async def _signature(outgoing: Outgoing, publisher: Publisher, settings: Settings, version: str) -> bytes:
    """The first signature that is there.  One that is there and does not hold is no reason to try another."""
    for name in publisher.signatures:
        url = publisher.url(settings, version, name.format(version=version))
        try:
            return await outgoing.read(url, limit=LARGEST_LIST)
        except NotThere:
            continue
    raise signatures.NotSigned(
        f"Its checksums are not signed: there is no {shown(url)}. Without a signature nothing is installed."
    )


def _sum_of(archive: str, listed: bytes, sums: str) -> str:
    for line in listed.decode(errors="replace").splitlines():
        sha256, _, name = line.partition(" ")
        if name.strip().removeprefix("*") == archive:
            return sha256.lower()
    raise CannotInstall(f"{sums} names no {archive}: it is the list of another version, or not for this machine.")


async def _fetch_archive(
    outgoing: Outgoing, url: str, sha256: str, engine: str, settings: Settings, shelf: Shelf, go_on: GoOn
) -> None:
    with shelf.incoming() as incoming:
        path = incoming / "archive.zip"
        with path.open("xb") as file:
            found = await outgoing.save(url, file, limit=settings.max_release, go_on=go_on)
        if found != sha256:
            raise CannotInstall(
                f"What {shown(url)} sent has the SHA-256 {found}, not {sha256} as it should: it is another file, or"
                " was changed on the way. Nothing of it was unpacked."
            )
        await asyncio.to_thread(_put, shelf, path, sha256, engine, settings)


def _put(shelf: Shelf, path: Path, sha256: str, engine: str, settings: Settings) -> None:
    shelf.put(path, sha256, engine, limit=settings.max_release_unpacked)


async def _retried(fetch: Callable[[], Awaitable[T]]) -> T:
    """A line that breaks is tried again; what does not fit its checksum is not."""
    for left in range(TRIES - 1, -1, -1):
        try:
            return await fetch()
        except Unreachable:
            if not left:
                raise
            await asyncio.sleep(RETRY_SECONDS)
    raise CannotFetch("Nothing was fetched.")


def _found(shelf: Shelf, sha256: str, engine: str, version: str) -> Release:
    found = shelf.get(sha256, engine, version)
    if found is None:
        raise CannotInstall(f"What was fetched as {engine} {version} has gone from {shelf.directory}.")
    return found


def _outgoing(settings: Settings, rule: Rule | None = None) -> Outgoing:
    return Outgoing(ca_file=settings.tls_ca, rule=rule)

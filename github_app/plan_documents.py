"""The changes of a stored plan, read as its JSON streams in: of a plan of any length no more is held than is shown."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Any

import ijson

from app.storage import objects
from app.storage.models import StoredObject
from github_app.plan_changes import Changes, Reader

#: A longer piece is parsed by a thread.
INLINE = 64 * 1024


async def changes_in(redacted: StoredObject) -> Changes:
    """Of a plan's `json_output_redacted`, in which no sensitive value is.  Raises Damaged, `ijson.JSONError`."""
    reader = Reader()
    parsers = (
        ijson.items_coro(_each(reader), "resource_changes.item", use_float=True),
        ijson.kvitems_coro(_output(reader), "output_changes", use_float=True),
    )
    async for piece in objects.stream(redacted):
        for parser in parsers:
            await _fed(parser, piece)
    for parser in parsers:
        parser.close()
    return await asyncio.to_thread(reader.finish)


async def _fed(parser: Any, piece: bytes) -> None:
    if len(piece) > INLINE:
        await asyncio.to_thread(parser.send, piece)
    else:
        parser.send(piece)


def _taking(take: Any) -> Generator[None, Any, None]:
    while True:
        take((yield))


def _each(reader: Reader) -> Generator[None, Any, None]:
    target = _taking(reader.resource)
    next(target)
    return target


def _output(reader: Reader) -> Generator[None, Any, None]:
    target = _taking(lambda item: reader.output(*item))
    next(target)
    return target

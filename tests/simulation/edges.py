"""What lies outside: words between processes, live streams, the object store.  Each call is a border and may fail."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any
from unittest import mock

from app import bell
from app.errors import Unavailable
from app.runs import wishes
from app.runs.models import Run
from app.storage import stores, streams
from tests.simulation.actors import Actor
from tests.simulation.database import edge


def fails(fault: str | None, part: str) -> None:
    if fault == "error":
        raise Unavailable(f"{part} does not answer (simulated).")


@dataclass
class Words:
    """The bell, and the words to the worker that holds a run.  While `is_lossy`, either is lost, late or doubled."""

    chance: Random
    is_lossy: bool = True
    #: Who hears, and by which functions.
    bells: dict[Actor, Callable[[], None]] = field(default_factory=dict)
    wishes: dict[Actor, Callable[[str], None]] = field(default_factory=dict)

    async def ring(self, *_: Any) -> None:
        await edge("ring the bell")
        listeners = [(actor, heard) for actor, heard in self.bells.items() if not actor.is_dead]
        if listeners:
            self._send(*self.chance.choice(listeners))

    async def tell(self, run: Run) -> None:
        await edge("tell a wish")
        for actor, heard in list(self.wishes.items()):
            self._send(actor, lambda heard=heard: heard(run.id))  # type: ignore[misc]

    def _send(self, actor: Actor, heard: Callable[[], None]) -> None:
        fate = self.chance.random() if self.is_lossy else 0.0
        if fate < 0.7:
            actor.when_awake(heard)
        if fate > 0.55:
            late = self.chance.uniform(0, 20)
            if fate < 0.9:
                asyncio.get_running_loop().call_later(late, actor.when_awake, heard)


@dataclass
class _Stream:
    claim: int = 0
    last: int = 0
    entries: list[tuple[int, bytes]] = field(default_factory=list)


@dataclass
class Streams:
    """`app.storage.streams`, rule for rule, in memory."""

    is_away: bool = False
    _streams: dict[str, _Stream] = field(default_factory=dict)

    async def append(self, key: str, end_offset: int, data: bytes, claim: int) -> bool:
        fault = await self._asked("append to a stream")
        if not data:
            return True
        stream = self._streams.setdefault(key, _Stream())
        if stream.claim > claim:
            return False
        stream.claim = claim
        if end_offset > stream.last:
            stream.last = end_offset
            stream.entries.append((end_offset, data))
        fails("error" if fault == "answer lost" else None, "Valkey")
        return True

    async def finish(self, key: str, end_offset: int) -> None:
        await self._asked("finish a stream")

    async def end(self, key: str) -> int:
        await self._asked("ask a stream's end")
        return self._streams[key].last if key in self._streams else 0

    async def read(self, key: str, offset: int, limit: int, *, strict: bool = False) -> bytes:
        fault = await edge("read a stream")
        if strict:
            fails("error" if self.is_away else fault, "Valkey")
        if self.is_away or fault is not None or key not in self._streams:
            return b""
        position, pieces = offset, b""
        for end, data in self._streams[key].entries:
            if end <= position:
                continue
            if end - len(data) > position:
                break
            pieces += data[position - end + len(data) :]
            position = end
        return pieces[:limit]

    async def fence(self, key: str, claim: int) -> None:
        fault = await self._asked("shut a stream")
        stream = self._streams.setdefault(key, _Stream())
        stream.claim = max(stream.claim, claim)
        fails("error" if fault == "answer lost" else None, "Valkey")

    async def trim(self, key: str, sealed_offset: int) -> None:
        fault = await edge("trim a stream")
        if not self.is_away and fault is None and key in self._streams:
            stream = self._streams[key]
            stream.entries = [entry for entry in stream.entries if entry[0] > sealed_offset]

    async def expire(self, key: str, seconds: int) -> None:
        await edge("let a stream expire")

    async def _asked(self, what: str) -> str | None:
        fault = await edge(what)
        fails("error" if self.is_away else fault, "Valkey")
        return fault


@dataclass
class Objects:
    """An object store in memory."""

    is_away: bool = False
    stored: dict[str, bytes] = field(default_factory=dict)

    async def settle(self, names: Sequence[str]) -> None:
        await self._asked("settle the objects")

    async def put(self, name: str, pieces: AsyncIterator[bytes]) -> None:
        content = b"".join([piece async for piece in pieces])
        fault = await self._asked("put an object")
        self.stored[name] = content
        fails("error" if fault == "answer lost" else None, "The object store")

    async def get(self, name: str) -> AsyncIterator[bytes]:
        await self._asked("get an object")
        if name not in self.stored:
            raise stores.Missing(name)
        yield self.stored[name]

    async def delete(self, name: str) -> None:
        await self._asked("delete an object")
        self.stored.pop(name, None)

    async def sweep(self, before: float) -> int:
        await self._asked("sweep the objects")
        return 0

    async def listed(self) -> AsyncIterator[list[stores.Kept]]:
        await self._asked("list the objects")
        yield [stores.Kept(name, len(content), 0.0) for name, content in self.stored.items()]

    async def ping(self) -> None:
        await self._asked("ping the objects")

    async def _asked(self, what: str) -> str | None:
        fault = await edge(what)
        fails("error" if self.is_away else fault, "The object store")
        return fault


async def _inline(work: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    return work(*arguments, **named)


class Edges:
    """The product's own edges, replaced once for many histories: `now` is the present one's."""

    words: Words
    streams: Streams
    objects: Objects

    @contextmanager
    def in_place(self) -> Iterator[None]:
        def forward(part: str, name: str) -> Callable[..., Awaitable[Any]]:
            async def call(*arguments: Any, **named: Any) -> Any:
                return await getattr(getattr(self, part), name)(*arguments, **named)

            return call

        patches: list[Any] = [
            mock.patch.object(bell, "ring", forward("words", "ring")),
            mock.patch.object(wishes, "tell", forward("words", "tell")),
            mock.patch.object(asyncio, "to_thread", _inline),
            *(
                mock.patch.object(streams, name, forward("streams", name))
                for name in ("append", "fence", "finish", "end", "read", "trim", "expire")
            ),
        ]
        for patch in patches:
            patch.start()
        try:
            yield
        finally:
            for patch in reversed(patches):
                patch.stop()

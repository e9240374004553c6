"""The live end of a log, in a stream of Valkey: what is not sealed into the object store yet, and who waits
for more.

An entry's id is the offset at which it ends.  So the server itself refuses what was written before, a
reader asks for exactly what lies beyond its offset, and what is sealed is dropped by its offset.  Beside
each stream lies the number of the claim that writes it: a worker that was frozen past its lease writes
nothing after its successor has begun.

Readers hold no connection.  One for the whole process hears of every write; who waits is woken by it.
"""

from __future__ import annotations

import asyncio
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from app.clock import monotonic
from app.errors import Unavailable
from app.redis_url import AWAY, pool

log = structlog.get_logger(__name__)

#: Longest entry; longer writes are cut.
ENTRY = 64 * 1024
#: Seconds after its last write that a stream is kept at most: longer than any phase may be silent.
LIFE = 2 * 24 * 3600
#: Seconds somebody waits at most while nobody can be told: then segments should be looked at again.
BLIND = 1.0

_APPEND = """
local claim = tonumber(ARGV[1])
if tonumber(redis.call('GET', KEYS[2]) or 0) > claim then return 0 end
redis.call('SET', KEYS[2], claim, 'EX', ARGV[2])
for i = 3, #ARGV, 2 do
  local answer = redis.pcall('XADD', KEYS[1], ARGV[i] .. '-1', 'd', ARGV[i + 1])
  if answer.err and not string.find(answer.err, 'equal or smaller') then return answer end
end
redis.call('EXPIRE', KEYS[1], ARGV[2])
redis.call('PUBLISH', KEYS[1], ARGV[#ARGV - 1] .. '-1')
return 1
"""
_CLOSE = """
redis.pcall('XADD', KEYS[1], ARGV[1] .. '-2', 'c', '')
redis.call('EXPIRE', KEYS[1], ARGV[2])
redis.call('PUBLISH', KEYS[1], ARGV[1] .. '-2')
return 1
"""
_FENCE = """
redis.call('SET', KEYS[2], math.max(tonumber(redis.call('GET', KEYS[2]) or 0), tonumber(ARGV[1])), 'EX', ARGV[2])
return 1
"""
_READ = """
local position, left, pieces = tonumber(ARGV[1]), tonumber(ARGV[2]), {}
while left > 0 do
  local before = position
  local entries = redis.call('XRANGE', KEYS[1], string.format('%d-0', position + 1), '+', 'COUNT', 32)
  for _, entry in ipairs(entries) do
    local finish, data = tonumber(string.match(entry[1], '^%d+')), entry[2][2]
    if entry[2][1] == 'd' and left > 0 then
      if finish - #data > position then return table.concat(pieces) end
      pieces[#pieces + 1] = string.sub(data, position - finish + #data + 1)
      left = left - (finish - position)
      position = finish
    end
  end
  if position == before then break end
end
return table.concat(pieces)
"""
_END = """
if redis.call('EXISTS', KEYS[1]) == 0 then return '0-0' end
local info = redis.call('XINFO', 'STREAM', KEYS[1])
for i = 1, #info, 2 do if info[i] == 'last-generated-id' then return info[i + 1] end end
"""

_redis: Redis | None = None
_watch: Watch | None = None


async def connect(url: str | None) -> None:
    """Say where the streams are.  Without a URL nothing can be appended and readers see segments alone."""
    global _redis, _watch
    await close()
    if url:
        _redis = Redis(connection_pool=pool(url))
        _watch = Watch(url)


async def close() -> None:
    global _redis, _watch
    if _watch is not None:
        await _watch.end()
    if _redis is not None:
        await _redis.aclose(close_connection_pool=True)
    _redis = _watch = None


async def append(key: str, end_offset: int, data: bytes, claim: int) -> bool:
    """Add *data*, which ends at *end_offset*, and wake who waits.  False if a later claim writes now.

    What was appended before is not appended again, so an uncertain write is repeated.  Raises Unavailable.
    """
    start = end_offset - len(data)
    pairs: list[Any] = []
    for at in range(0, len(data), ENTRY):
        piece = data[at : at + ENTRY]
        pairs += [start + at + len(piece), piece]
    if not pairs:
        return True
    return bool(await _script(_APPEND, key, claim, LIFE, *pairs))


async def fence(key: str, claim: int) -> None:
    """Refuse from now on whatever comes with a lower *claim*.  Raises Unavailable."""
    if _redis is None:
        return  # nothing is appended at all
    await _script(_FENCE, key, claim, LIFE)


async def refill(key: str, start_offset: int, data: bytes, claim: int) -> bool:
    """Append, from *start_offset* on, what a lost stream should hold; entries that are still there stay."""
    return await append(key, start_offset + len(data), data, claim)


async def finish(key: str, end_offset: int) -> None:
    """Mark the stream as closed at *end_offset*: nobody waits any more.  Raises Unavailable."""
    await _script(_CLOSE, key, end_offset, LIFE)


async def end(key: str) -> int:
    """The offset at which the last entry ended, also if it was trimmed since; 0 if there is none.  May raise
    Unavailable."""
    return _position(await _script(_END, key))[0]


async def read(key: str, offset: int, limit: int, *, strict: bool = False) -> bytes:
    """Up to *limit* bytes from exactly *offset*; nothing if the stream does not hold that offset.

    It may not, because it was sealed and trimmed, was never written, or Valkey is away: then segments know.  With
    *strict* that Valkey is away raises Unavailable: for those to whom nothing means that there was nothing.
    """
    if _redis is None:
        return b""
    try:
        found = await _redis.register_script(_READ)(keys=[_name(key)], args=[offset, limit])
    except AWAY as error:
        if strict:
            raise Unavailable("Valkey is away, and may hold bytes of a log that are nowhere else.") from error
        log.debug("stream not read", key=key, error=str(error))
        return b""
    return bytes(found)[:limit]


async def wait(key: str, offset: int, timeout: float) -> bool:
    """Wait until something lies beyond *offset*, in the stream or sealed since, or the stream is closed.

    False after *timeout* seconds; after one at most while Valkey is away, so that the caller looks at the
    segments.
    """
    if _watch is None:
        await asyncio.sleep(min(timeout, BLIND))
        return False
    return await _watch.beyond(key, offset, timeout)


async def trim(key: str, sealed_offset: int) -> None:
    """Drop what ends at or before *sealed_offset*.  While Valkey is away nothing is dropped, and nothing
    said."""
    if _redis is None:
        return
    try:
        await _redis.xtrim(_name(key), minid=f"{sealed_offset + 1}-0", approximate=False)
    except AWAY as error:
        log.debug("stream not trimmed", key=key, error=str(error))


async def expire(key: str, seconds: int) -> None:
    """Let the stream vanish after *seconds*: all of it is sealed.  While Valkey is away it vanishes later."""
    if _redis is None:
        return
    try:
        await _redis.expire(_name(key), seconds)
    except AWAY as error:
        log.debug("stream not expired", key=key, error=str(error))


class Watch:
    """One connection that hears of every stream somebody waits for."""

    #: Seconds without a waiter after which a stream is not listened to any more: clients come back at once.
    LINGER = 30.0

    def __init__(self, url: str) -> None:
        self._redis = Redis(connection_pool=pool(url, socket_timeout=None, max_connections=1))
        self._ask = Redis(connection_pool=pool(url))
        self._pubsub = self._redis.pubsub()
        self._streams: dict[str, _Watched] = {}
        self._task: asyncio.Task[None] | None = None
        self._hearing = False
        self._asking = asyncio.Lock()
        self._catching_up: set[asyncio.Task[None]] = set()

    async def beyond(self, key: str, offset: int, timeout: float) -> bool:
        self._task = self._task or asyncio.create_task(self._listen(), name="log streams")
        name, deadline = _name(key), monotonic() + timeout
        watched = self._streams.setdefault(name, _Watched())
        watched.waiters += 1
        try:
            await self._subscribe(name, watched)
            while not watched.reaches_beyond(offset):
                left, blind = deadline - monotonic(), not self._hearing
                if left <= 0:
                    return False
                try:
                    async with asyncio.timeout(min(left, BLIND) if blind else left):
                        await watched.moved()
                except TimeoutError:
                    if blind and not self._hearing:
                        return False
            return True
        finally:
            watched.waiters -= 1
            watched.idle_since = monotonic()

    async def end(self) -> None:
        self._hearing = False
        tasks = [*self._catching_up, *([self._task] if self._task else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for watched in self._streams.values():
            watched.wake()
        await self._pubsub.aclose()  # type: ignore[no-untyped-call]
        await self._redis.aclose(close_connection_pool=True)
        await self._ask.aclose(close_connection_pool=True)

    async def _listen(self) -> None:
        """Hear, and begin anew when the connection is lost.  Who waits meanwhile is sent to the segments."""
        backoff = 0.05
        while True:
            try:
                await self._pubsub.subscribe("stateroom:log")  # so that there is something to hear
                self._hearing = True
                for name, watched in list(self._streams.items()):
                    await self._subscribe(name, watched)
                while True:
                    message = await self._pubsub.get_message(timeout=self.LINGER / 3)
                    backoff = 0.05
                    if message:
                        self._take(message)
                    await self._forget_idle()
            except AWAY as error:
                log.warning("log streams are away", error=str(error) or type(error).__name__)
            except Exception:
                log.exception("listening to log streams failed")
            await self._lose()
            await asyncio.sleep(backoff)
            backoff = min(backoff * 2, 1)

    async def _lose(self) -> None:
        self._hearing = False
        for watched in self._streams.values():
            watched.subscribed = False
            watched.wake()
        await self._pubsub.aclose()  # type: ignore[no-untyped-call]
        self._pubsub = self._redis.pubsub()

    async def _subscribe(self, name: str, watched: _Watched) -> None:
        """Ask to be told.  What was written before is looked for when that is confirmed."""
        async with self._asking:
            if watched.subscribed or not self._hearing:
                return
            try:
                await self._pubsub.subscribe(name)
                watched.subscribed = True
            except AWAY as error:
                log.debug("stream not listened to", error=str(error))  # the listener finds out, too

    async def _forget_idle(self) -> None:
        before = monotonic() - self.LINGER
        for name in [n for n, w in self._streams.items() if not w.waiters and w.idle_since < before]:
            async with self._asking:
                if not self._streams[name].waiters:
                    del self._streams[name]
                    await self._pubsub.unsubscribe(name)

    def _take(self, message: dict[str, Any]) -> None:
        name = message["channel"].decode()
        watched = self._streams.get(name)
        if watched is not None and message["type"] == "subscribe":
            task = asyncio.create_task(self._catch_up(name, watched))
            self._catching_up.add(task)
            task.add_done_callback(self._catching_up.discard)
        elif watched is not None and message["type"] == "message":
            watched.reached(_position(message["data"]))

    async def _catch_up(self, name: str, watched: _Watched) -> None:
        try:
            watched.reached(_position(await self._ask.register_script(_END)(keys=[name])))
        except AWAY as error:
            log.debug("stream not looked at", error=str(error))


class _Watched:
    """How far one stream is known to reach, and who waits for it to reach further."""

    def __init__(self) -> None:
        self.position = (0, 0)
        self.subscribed = False
        self.waiters = 0
        self.idle_since = monotonic()
        self._news = asyncio.Event()

    def reaches_beyond(self, offset: int) -> bool:
        position, mark = self.position
        return position > offset or mark > 1

    def reached(self, position: tuple[int, int]) -> None:
        if position > self.position:
            self.position = position
            self.wake()

    def wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    async def moved(self) -> None:
        await self._news.wait()


async def _script(source: str, key: str, *arguments: Any) -> Any:
    if _redis is None:
        raise Unavailable("Log streams need Valkey, and STATEROOM_REDIS_URL is not set.")
    name = _name(key)
    try:
        return await _redis.register_script(source)(keys=[name, f"{name}:claim"], args=arguments)
    except ResponseError as error:
        raise Unavailable(f"The log stream cannot be written: {error}") from error
    except AWAY as error:
        raise Unavailable("Valkey does not answer; the log is kept elsewhere until it does.") from error


def _name(key: str) -> str:
    """In braces, so that a cluster keeps the stream and its claim together."""
    return f"stateroom:log:{{{key}}}"


def _position(identifier: bytes) -> tuple[int, int]:
    position, _, mark = identifier.decode().partition("-")
    return int(position), int(mark)

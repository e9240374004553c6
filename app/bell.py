"""The bell: "there is work".  All of arq.

A bell carries nothing.  Whoever hears it looks into the database, so a lost, doubled or late bell costs
time, never truth; and because idle slots also look by themselves, everything still moves without Valkey.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, cast

import orjson
import structlog
from arq import ArqRedis, Worker, func

from app.clock import monotonic
from app.redis_url import AWAY, pool

log = structlog.get_logger(__name__)

QUEUE = "stateroom:bell"
BELL = "work"

#: Unheard bells are worth nothing after this: by then every idle slot has looked by itself.
LIFE = 30
#: Bells in the queue that make another one pointless.
ENOUGH = 64
#: How long ringing may take, and how long nobody tries again after it failed.
PATIENCE = 1.0

_redis: ArqRedis | None = None
_silent_until = 0.0
_said = False


async def connect(url: str | None) -> None:
    """Say where the bell hangs.  Does not look whether it is there."""
    global _redis, _silent_until, _said
    await close()
    _silent_until, _said = 0.0, False
    _redis = _client(url) if url else None


async def close() -> None:
    global _redis
    if _redis is not None:
        await _redis.aclose(close_connection_pool=True)
    _redis = None


async def ring(*_ignored: Any) -> None:
    """Tell one worker that there is work.  Takes whatever an announcement gives; never fails, never takes
    long."""
    global _silent_until, _said
    if _redis is None:
        if not _said:
            _said = True
            log.info("no bell: STATEROOM_REDIS_URL is not set, so work waits until an idle slot looks for it")
        return
    if monotonic() < _silent_until:
        return
    try:
        async with asyncio.timeout(PATIENCE):
            if await _redis.zcard(QUEUE) < ENOUGH:
                await _redis.enqueue_job(BELL, _queue_name=QUEUE, _expires=LIFE)
        _said = False
    except AWAY as error:
        _silent_until = monotonic() + PATIENCE
        if not _said:
            _said = True
            log.warning("the bell cannot be rung; work waits until an idle slot looks for it", error=str(error))


async def listen(url: str | None, heard: Callable[[], None], *, idle: Callable[[], bool] = lambda: True) -> None:
    """Call *heard* at each bell, until cancelled.  Survives that the server is away, restarts or never comes.

    While *idle* says no, bells are left for other workers.
    """
    backoff = 0.1
    while True:
        if not url:
            await asyncio.Event().wait()
            continue
        started = monotonic()
        listener = _Listener(_client(url), heard, idle)
        try:
            await listener.main()
        except AWAY as error:
            backoff = 0.1 if monotonic() - started > 5 else min(backoff * 2, 2)
            log.warning("the bell is away", error=str(error) or type(error).__name__, again_in=backoff)
        finally:
            await listener.end()
        heard()  # a bell may have been lost meanwhile
        await asyncio.sleep(backoff)


class _Listener(Worker):
    """An arq worker that knows one job, which does nothing but say that it was heard."""

    def __init__(self, redis: ArqRedis, heard: Callable[[], None], idle: Callable[[], bool]) -> None:
        async def bell(_context: Any) -> None:
            heard()

        # Its own messages tell of every bell, twice.
        logging.getLogger("arq").setLevel(logging.ERROR)
        self._idle = idle
        super().__init__(
            functions=[func(cast(Any, bell), name=BELL, keep_result=0, max_tries=1)],
            queue_name=QUEUE,
            redis_pool=redis,
            handle_signals=False,
            job_timeout=10,
            keep_result=0,
            poll_delay=0.05,
            max_jobs=4,
            max_tries=1,
            retry_jobs=False,
            allow_abort_jobs=False,
            log_results=False,
            job_serializer=orjson.dumps,
            job_deserializer=orjson.loads,
        )

    async def _poll_iteration(self) -> None:
        self.allow_pick_jobs = self._idle()
        await super()._poll_iteration()

    async def end(self) -> None:
        """Let go of everything.  arq's own way asks the server once more, which may be away."""
        for task in self.tasks.values():
            task.cancel()
        await asyncio.gather(*self.tasks.values(), return_exceptions=True)
        await self.pool.aclose(close_connection_pool=True)


def _client(url: str) -> ArqRedis:
    """The default serializer is pickle: whoever can write to the queue would run code in the worker."""
    return ArqRedis(
        pool_or_conn=pool(url),
        job_serializer=orjson.dumps,
        job_deserializer=orjson.loads,
        default_queue_name=QUEUE,
    )

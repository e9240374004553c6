"""A word to the worker that holds a run: somebody wants something of it, so look now.

The wish itself is a column of the run, and every worker reads it when it renews its lease; a word that is lost costs
seconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog
from redis.asyncio import Redis

from app import settings
from app.redis_url import AWAY, pool
from app.runs.models import Run

log = structlog.get_logger(__name__)

CHANNEL = "stateroom:wishes"
PATIENCE = 1.0


async def tell(run: Run) -> None:
    """Say that *run*'s wishes changed.  Never fails, never takes long."""
    url = settings.current().redis_url
    if not url:
        return
    redis = Redis(connection_pool=pool(url.reveal()))
    try:
        async with asyncio.timeout(PATIENCE):
            await redis.publish(CHANNEL, run.id)
    except AWAY as error:
        log.warning("no worker could be told of a wish; it is seen at the next renewal", run=run.id, error=str(error))
    finally:
        await redis.aclose(close_connection_pool=True)


async def listen(url: str | None, heard: Callable[[str], None]) -> None:
    """Call *heard* with the id of each run somebody wants something of, until cancelled."""
    while url:
        redis = Redis(connection_pool=pool(url, socket_timeout=None, max_connections=1))
        pubsub = redis.pubsub()
        try:
            await pubsub.subscribe(CHANNEL)
            async for message in pubsub.listen():
                if message["type"] == "message":
                    heard(message["data"].decode())
        except AWAY as error:
            log.debug("wishes are not heard", error=str(error))
        finally:
            await pubsub.aclose()  # type: ignore[no-untyped-call]
            await redis.aclose(close_connection_pool=True)
        await asyncio.sleep(PATIENCE)

"""The web process, put together on one page.

`create_app` gives what uvicorn serves: every route behind the middleware, and a lifespan that opens what they need.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import structlog
from starlette.types import ASGIApp

from app import bell, events, wiring
from app import settings as settings_module
from app.errors import Unavailable
from app.http import metrics, middleware, signed_urls
from app.http.health import Check, Health, keys_work
from app.http.limits import Limits
from app.http.routing import Route, Router
from app.jobs import figures
from app.organizations import names
from app.redis_url import AWAY
from app.runs import lists
from app.secret import Secret
from app.settings import Settings
from app.storage import database, keys, objects, streams, valkey
from app.web import live
from app.web.errors import refuse
from app.web.routes import routes as page_routes
from backend_api.routes import routes as api_routes
from github_app.routes import routes as github_routes

log = structlog.get_logger(__name__)


def create_app(settings: Settings | None = None) -> ASGIApp:
    """The application.  Opens nothing: that is the lifespan's."""
    settings = settings or settings_module.current()

    @asynccontextmanager
    async def lifespan(app: object) -> AsyncIterator[None]:
        async with opened(settings):
            yield

    router = Router(routes(settings), lifespan=lifespan, refuse=refuse)
    names.configure(router.words_beside("/app/{organization}"))
    limits = Limits.of(settings)
    rate = settings.api_rate_limit
    return middleware.stack(router, limits, rate=rate, refuse=refuse, observe=metrics.observe)


def routes(settings: Settings) -> list[Route]:
    """Every route of the process."""
    health = Health(
        needed={"database": database.ping, "objects": objects.ping, "keys": keys_work},
        useful={"valkey": valkey_answers(settings)},
        metrics_token=settings.metrics_token,
        loopback_is_here=not settings.behind_proxy,
        figures=measured,
    )
    return [*api_routes, *github_routes, *health.routes(), *page_routes]


async def measured() -> bytes:
    """The metrics of the whole installation; of this process alone while the database is away."""
    try:
        return metrics.text(await figures.of_the_queue(await lists.count_pending()), await figures.of_workers())
    except Unavailable:
        return metrics.text()


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[None]:
    """Database, keys, objects, bell and log streams, open for the length of the process; and who listens to what."""
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(database.connected(settings))
        await keys.open_ring(settings)
        signed_urls.configure(lambda: signing_key(keys.current()), life=settings.signed_url_life)
        objects.connect(settings)
        stack.callback(objects.close)
        if problem := await objects.settle():  # reads go on, and `/health` says it too
            log.error("objects cannot be kept", problem=problem)
        url = settings.redis_url.reveal() if settings.redis_url else None
        await bell.connect(url)
        stack.push_async_callback(bell.close)
        await streams.connect(url)
        stack.push_async_callback(streams.close)
        wiring.connect()
        events.when_run_moves(live.run_moved)
        live.open_streams()
        stack.callback(live.end_streams)
        yield


def signing_key(ring: keys.KeyRing) -> signed_urls.SigningKey:
    active, *retired = (Secret(key) for key in ring.subkeys("signed urls"))
    return signed_urls.SigningKey(active, tuple(retired))


def valkey_answers(settings: Settings) -> Check:
    """A check of Valkey, without which everything still moves."""

    async def answers() -> None:
        if settings.redis_url is None:
            raise Unavailable("STATEROOM_REDIS_URL is not set: work waits for the next look at the table.")
        asking = valkey.client(settings.redis_url.reveal())
        try:
            await asking.ping()
        except AWAY:
            raise Unavailable("Valkey does not answer: logs and new work are seen later.") from None
        finally:
            await asking.aclose(close_connection_pool=True)

    return answers

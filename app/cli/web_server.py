"""The web process: uvicorn around the application."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import diagnostics
from app.cli import saying, serve
from app.errors import StateroomError
from app.settings import Settings

#: Seconds that requests which still run get when the process is told to stop.
STOP_WITHIN = 5
#: Longer than Go keeps an idle connection (90 s): we never close one that terraform is about to use.
KEEP_ALIVE = 120


class Server(uvicorn.Server):
    """Tells who started it that it accepts requests; leaves a SIGINT alone that was ignored for it."""

    def __init__(self, config: uvicorn.Config, ready_fd: int | None) -> None:
        super().__init__(config)
        self.ready_fd = ready_fd

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and self.ready_fd is not None:
            serve.announce(self.ready_fd)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Event streams and held reads go on for long, and uvicorn waits for everything that was begun."""
        from app.web import live
        from backend_api import log_reads

        live.end_streams()
        log_reads.end_held()
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        ignored = [number for number in (signal.SIGINT, signal.SIGHUP) if _is_ignored(number)]
        with super().capture_signals():
            for number in ignored:
                signal.signal(number, signal.SIG_IGN)
            yield
            self._captured_signals.clear()  # uvicorn would die by them now; who was asked to stop and did, ends with 0


def run(settings: Settings, *, listen_fd: int | None = None, ready_fd: int | None = None) -> None:
    """Serve until told to stop.  The socket is the inherited one, if there is one."""
    from app.cli import instance

    diagnostics.configure(settings)
    certificate, key = _certificate(settings)
    if listen_fd is None:  # else `up` has seen to it
        asyncio.run(_check_schema(settings))
    listener = socket.socket(fileno=listen_fd) if listen_fd else instance.listen(settings.host, settings.port)
    config = uvicorn.Config(
        _application(settings),
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,  # ours has the route instead of the path, which may hold a secret
        server_header=False,
        proxy_headers=settings.behind_proxy,
        forwarded_allow_ips=list(settings.trusted_proxies),
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=STOP_WITHIN,
        ssl_certfile=certificate,
        ssl_keyfile=key,
    )
    server = Server(config, ready_fd)
    server.run(sockets=[listener])
    if not server.started:
        sys.exit(1)


def _application(settings: Settings) -> ASGIApp:
    """The application, which says in a sentence why it does not start, where there is one."""
    from app.asgi import create_app

    app = create_app(settings)

    async def explained(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await app(scope, receive, send)
            return

        async def without_trace(message: Message) -> None:
            """The framework sends the trace as a message, whatever was raised."""
            await send({**message, "message": ""} if message["type"].endswith(".failed") else message)

        try:
            await app(scope, receive, without_trace)
        except StateroomError as error:
            saying.say(error.sentence, settings.log_format)
            raise
        except Exception:
            structlog.get_logger("stateroom").exception("the web cannot start")
            raise

    return explained


async def _check_schema(settings: Settings) -> None:
    from app.storage import database, migrating

    async with database.connected(settings):
        await migrating.check(settings)


def _certificate(settings: Settings) -> tuple[str | None, str | None]:
    if not settings.tls:
        return None, None
    if settings.tls_certificate and settings.tls_key:
        for path in (settings.tls_certificate, settings.tls_key):
            if not path.is_file():
                raise StateroomError(f"There is no {path}, which STATEROOM_TLS_CERTIFICATE or _KEY names.")
        return str(settings.tls_certificate), str(settings.tls_key)
    if settings.behind_proxy:  # the proxy speaks TLS
        return None, None
    from app.cli import certificates, private_files

    private_files.make_directory(settings.data_dir)
    made = certificates.ensure(settings.data_dir, certificates.names_of(settings))
    return str(made.certificate), str(made.key)


def _is_ignored(number: signal.Signals) -> bool:
    return signal.getsignal(number) is signal.SIG_IGN

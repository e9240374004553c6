"""Everything on one machine: what `stateroom up` makes ready, starts and watches."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from app.cli import certificates, client_files, firststart, instance, private_files, processes, saying
from app.cli.processes import Manager, Program
from app.settings import Settings, load, unknown
from app.storage import valkey

if TYPE_CHECKING:
    from app.cli.certificates import Certificates

#: A little longer than the web itself gives its requests.
WEB_STOPS_WITHIN = 10.0
#: Valkey writes its file first.
QUEUE_STOPS_WITHIN = 15.0
#: With less than this on the disk, that is why something did not start.
LEAST_ROOM = 512 * 1024


@dataclass(frozen=True)
class Handed:
    """Descriptors for the children: the socket, where the web says that it is ready, the family's lock."""

    listener: int
    ready: int
    family: int


def run(settings: Settings, organization: str | None) -> int:
    """Start it and watch it until it is told to stop.  Returns the exit status."""
    workers_umask = os.umask(0o077)
    directory = settings.data_dir
    private_files.make_directory(directory)
    lock = instance.take(directory)
    family = instance.family_lock(directory)
    listener = instance.listen(settings.host, settings.port)
    if settings.port == 0:
        settings = _with_port(settings, listener.getsockname()[1])
    try:
        made = _certificates(settings)
        client_files.write_url(directory, settings.external_url)
        link = None if firststart.is_done(settings, organization) else firststart.prepare_apart(settings, organization)
        _write_client_files(settings)
    except OSError as error:
        raise private_files.cannot_write(directory, error) from error
    ready, tell = os.pipe()
    handed = Handed(listener.fileno(), tell, family)
    programs = tuple(_programs(settings, made, handed, workers_umask))
    manager = Manager(
        programs,
        say=partial(saying.say, log_format=settings.log_format),
        ready=ready,
        when_ready=lambda: _announce(settings, link),
        trouble=lambda: _no_room(settings.data_dir),
    )
    status = manager.run()
    listener.close()
    os.close(lock)
    return status


def _no_room(directory: Path) -> str | None:
    if shutil.disk_usage(directory).free >= LEAST_ROOM:
        return None
    return f"the disk that holds {directory} is full. Free some space, or choose another directory with --data."


def _announce(settings: Settings, link: str | None) -> None:
    print(f"ready {settings.external_url}", flush=True)
    say = partial(saying.say, log_format=settings.log_format)
    if link and settings.log_format == "text":  # else it goes where logs are kept, and the link is a secret
        say(f"sign in as admin, once, within the hour: {link}")
    if link:
        say(f"a link to sign in with: stateroom user login-link --data {settings.data_dir}")
    say(f'terraform, in another shell: eval "$(stateroom env --data {settings.data_dir})"')


def _programs(settings: Settings, made: Certificates | None, handed: Handed, workers_umask: int) -> Iterator[Program]:
    environment = _environment(settings, made)
    if settings.redis_url is None:
        environment["STATEROOM_REDIS_URL"] = valkey.url(settings.data_dir / "valkey")
        yield _queue(settings, handed.family)
    serve = ("serve", "--listen-fd", str(handed.listener), "--ready-fd", str(handed.ready))
    yield Program(
        "web",
        (*processes.COMMAND, *serve),
        environment,
        stops_within=WEB_STOPS_WITHIN,
        inherits=(handed.listener, handed.ready, handed.family),
    )
    yield Program(
        "worker",
        (*processes.COMMAND, "worker"),
        environment,
        stops_within=None,
        hurry=signal.SIGUSR1,
        umask=workers_umask,
    )


def _queue(settings: Settings, family: int) -> Program:
    """Valkey, whose words are for its own log: at each start it asks for settings of the kernel."""
    directory = settings.data_dir / "valkey"
    directory.mkdir(mode=0o700, exist_ok=True)
    return Program(
        "valkey",
        valkey.arguments(directory, memory=settings.max_valkey_memory),
        {"PATH": os.defpath},
        dies_by=signal.SIGTERM,
        stops_within=QUEUE_STOPS_WITHIN,
        inherits=(family,),
        output=directory / "valkey.log",
    )


def _environment(settings: Settings, made: Certificates | None) -> dict[str, str]:
    """Ours, and as settings what the options said and what was made here; not the misspelt, which were named."""
    chosen = {
        "DATA_DIR": settings.data_dir,
        "HOST": settings.host,
        "PORT": settings.port,
        "TLS": str(settings.tls).lower(),
    }
    if made is not None:
        chosen |= {"TLS_CERTIFICATE": made.certificate, "TLS_KEY": made.key}
        if settings.tls_ca is None:
            chosen["TLS_CA"] = made.ca
    named = {f"STATEROOM_{name}": str(value) for name, value in chosen.items()}
    inherited = {name: value for name, value in os.environ.items() if name not in unknown()}
    return {**inherited, **processes.python_path(), **named}


def _certificates(settings: Settings) -> Certificates | None:
    """Our own, unless the site has one or a proxy speaks TLS."""
    if not settings.tls or settings.tls_certificate or settings.behind_proxy:
        return None
    return certificates.ensure(settings.data_dir, certificates.names_of(settings))


def _write_client_files(settings: Settings) -> None:
    token = client_files.read_token(settings.data_dir)
    if token is not None:
        client_files.write(settings.data_dir, settings.external_url, token)


def _with_port(settings: Settings, port: int) -> Settings:
    return load(data_dir=settings.data_dir, host=settings.host, port=port, tls=settings.tls)

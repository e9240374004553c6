"""Where the API really is: TCP or TLS connections to it, for the proxy and for the supervisor's own calls."""

from __future__ import annotations

import functools
import socket
import ssl
from dataclasses import dataclass
from urllib.parse import urlsplit

INSIDE_HOST = "stateroom.internal"
"""The API's name inside a sandbox, and in every link it gives to a run's token."""


@functools.cache
def tls(ca_file: str | None) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=ca_file)


@dataclass(frozen=True)
class Upstream:
    url: str
    ca_file: str | None = None

    @property
    def is_tls(self) -> bool:
        return urlsplit(self.url).scheme == "https"

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        return urlsplit(self.url).port or (443 if self.is_tls else 80)

    @property
    def authority(self) -> str:
        """As a `Host` header has it."""
        return urlsplit(self.url).netloc.rpartition("@")[2]

    @property
    def context(self) -> ssl.SSLContext | None:
        return tls(self.ca_file) if self.is_tls else None

    def connect(self, timeout: float) -> socket.socket:
        connection = socket.create_connection((self.host, self.port), timeout)
        if self.context is None:
            return connection
        try:
            return self.context.wrap_socket(connection, server_hostname=self.host)
        except BaseException:
            connection.close()
            raise

    def target(self, link: str) -> str:
        """The path and query of a *link* that the API gave, or `ValueError` if it leads elsewhere."""
        parts = urlsplit(link)
        ours = urlsplit(self.url)
        if parts.netloc and parts.hostname != INSIDE_HOST and parts.netloc != ours.netloc:
            raise ValueError(f"the API gave a link to {parts.netloc}, which is not where it is")
        return f"{parts.path}?{parts.query}" if parts.query else parts.path

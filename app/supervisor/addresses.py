"""Which addresses a run may reach.

`ipaddress.is_global` alone says yes to multicast and to several ways of writing an IPv4 address in an IPv6 one, by
which a metadata service or this machine itself could be reached.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from dataclasses import dataclass

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_NEVER = [
    ipaddress.ip_network(network)
    for network in (
        "168.63.129.16/32",  # Azure's metadata, global by the book
        "192.88.99.0/24",  # 6to4 relays
        "64:ff9b::/96",  # NAT64
        "64:ff9b:1::/48",
        "2002::/16",  # 6to4
        "2001::/32",  # Teredo
        "fec0::/10",  # site-local, before there was fc00::/7
        "::ffff:0:0/96",  # IPv4 in disguise
        "::/96",
    )
]


def why_not(address: Address) -> str | None:
    """Why no run may connect to *address* unless the site opens it; None if it is an ordinary public one."""
    if not address.is_global or address.is_multicast or address.is_reserved:
        return f"{address} is not a public address"
    if any(address in network for network in _NEVER if network.version == address.version):
        return f"{address} is not a public address"
    if is_our_own(address):
        return f"{address} is this machine's own address"
    return None


def is_our_own(address: Address) -> bool:
    """Whether this machine itself answers to *address*: only then can a socket be bound to it."""
    kind = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with socket.socket(kind, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((str(address), 0))
        except OSError:
            return False
    return True


def resolve(host: str, port: int) -> list[Address]:
    """Every address of *host*, in the order to try; raises `OSError` if there is none."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [ipaddress.ip_address(str(where[0]).partition("%")[0]) for *_, where in found]
    return list(dict.fromkeys(addresses))


@dataclass(frozen=True)
class Entry:
    """One line of a site's list: a name, a suffix, an address or a network, and perhaps a port."""

    name: str
    port: int | None

    @classmethod
    def parse(cls, text: str) -> Entry:
        text = text.strip().lower()
        if text.startswith("["):
            name, _, rest = text[1:].partition("]")
            return cls(name, int(rest[1:]) if rest else None)
        if text.count(":") > 1:  # an IPv6 address or network without a port
            return cls(text, None)
        name, _, port = text.partition(":")
        return cls(name.removeprefix("*"), int(port) if port else None)

    def covers(self, host: str, port: int) -> bool:
        """Whether it names *host*, by name or suffix, or by the address *host* is written as."""
        if self.port not in (None, port):
            return False
        if self.name.startswith("."):
            return host.endswith(self.name)
        return host == self.name or self._holds(host)

    def covers_address(self, address: Address, port: int) -> bool:
        return self.port in (None, port) and self._holds(str(address))

    def may_cover_a_name(self, port: int) -> bool:
        """Whether a name that it does not spell could be covered by the addresses behind it."""
        try:
            ipaddress.ip_network(self.name, strict=False)
        except ValueError:
            return False
        return self.port in (None, port)

    def _holds(self, host: str) -> bool:
        try:
            return ipaddress.ip_address(host) in ipaddress.ip_network(self.name, strict=False)
        except ValueError:
            return False


class Refused(Exception):
    """Says, in a sentence, why a run may not connect there."""


class Rule:
    """The site's rule for its runs."""

    def __init__(self, allow: Iterable[str] | None, private: Iterable[str]) -> None:
        self._allow = None if allow is None else [Entry.parse(text) for text in allow]
        self._private = [Entry.parse(text) for text in private]

    def permit(self, host: str, port: int) -> list[Address]:
        """The addresses by which *host* may be reached, all of them looked at, or `Refused`.

        A name is resolved only where its addresses could decide: the question itself carries it out, to whoever
        answers for the domain.
        """
        opened = any(entry.covers(host, port) for entry in self._private)
        listed = self._allow is None or any(entry.covers(host, port) for entry in self._allow)
        if not (opened or listed or any(entry.may_cover_a_name(port) for entry in self._private)):
            raise Refused(self._unlisted(host, port))
        try:
            addresses = resolve(host, port)
        except (OSError, UnicodeError):
            raise Refused(f"the name {host} cannot be resolved") from None
        if opened:
            return addresses
        reasons = [self._why_not(address, port, listed, host) for address in addresses]
        for why in filter(None, reasons):
            raise Refused(why)
        return addresses

    def _why_not(self, address: Address, port: int, listed: bool, host: str) -> str | None:
        if any(entry.covers_address(address, port) for entry in self._private):
            return None
        if not listed:
            return self._unlisted(host, port)
        return why_not(address)

    def _unlisted(self, host: str, port: int) -> str:
        return f"{host}:{port} is not on this site's list of hosts"

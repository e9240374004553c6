from __future__ import annotations

import ipaddress
import socket

import pytest

from app.supervisor import addresses
from app.supervisor.addresses import Refused, Rule, why_not

FORBIDDEN = [
    "0.0.0.0", "127.0.0.1", "127.255.255.254", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1",
    "169.254.169.254", "168.63.129.16", "192.0.0.1", "192.88.99.1", "198.18.0.1", "224.0.0.1", "239.1.1.1",
    "240.0.0.1", "255.255.255.255",
    "::", "::1", "::127.0.0.1", "fe80::1", "fec0::1", "fc00::1", "fd00:ec2::254", "ff02::1",
    "::ffff:8.8.8.8", "::ffff:127.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2002:7f00:1::",
    "2001::1", "2001:db8::1",
]  # fmt: skip


@pytest.mark.parametrize("text", FORBIDDEN)
def test_an_address_that_is_not_public_is_refused(text: str) -> None:
    assert why_not(ipaddress.ip_address(text))


@pytest.mark.parametrize("text", ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "168.63.129.17"])
def test_a_public_address_is_open(text: str) -> None:
    assert why_not(ipaddress.ip_address(text)) is None


def test_the_machines_own_public_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "is_our_own", lambda address: True)
    assert why_not(ipaddress.ip_address("8.8.8.8")) == "8.8.8.8 is this machine's own address"


def test_loopback_is_known_to_be_our_own() -> None:
    assert addresses.is_our_own(ipaddress.ip_address("127.0.0.1"))
    assert not addresses.is_our_own(ipaddress.ip_address("8.8.8.8"))


NAMES = ["127.0.0.1", "localhost", "0.0.0.0", "127.1", "2130706433", "0x7f000001", "::1", "::ffff:127.0.0.1",
         "169.254.169.254", "10.0.0.1", "no-such-host.invalid"]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("allow", [None, NAMES], ids=["every public host", "on the list"])
def test_a_private_host_is_refused_even_if_the_list_of_public_ones_names_it(name: str, allow: list[str] | None) -> None:
    with pytest.raises(Refused):
        Rule(allow, []).permit(name, 443)


def resolving(monkeypatch: pytest.MonkeyPatch, *found: str) -> None:
    monkeypatch.setattr(addresses, "resolve", lambda host, port: [ipaddress.ip_address(text) for text in found])


def test_every_address_of_a_name_must_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, "8.8.8.8", "10.0.0.1")
    with pytest.raises(Refused, match=r"10\.0\.0\.1 is not a public address"):
        Rule(None, []).permit("rebinding.example", 443)


def test_a_list_opens_what_it_names_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, "8.8.8.8")
    rule = Rule(["registry.terraform.io", "*.amazonaws.com", ".github.com:443", "8.8.4.0/24"], [])
    for host, port in [("registry.terraform.io", 443), ("s3.amazonaws.com", 80), ("api.github.com", 443)]:
        assert rule.permit(host, port)
    for host, port in [
        ("example.com", 443),
        ("amazonaws.com", 443),
        ("evilamazonaws.com", 443),
        ("api.github.com", 80),
    ]:
        with pytest.raises(Refused, match="list of hosts"):
            rule.permit(host, port)


@pytest.mark.parametrize("entry", ["vault.corp", "vault.corp:8200", ".corp", "10.0.0.0/8", "10.1.2.3:8200"])
def test_a_site_may_open_private_hosts(monkeypatch: pytest.MonkeyPatch, entry: str) -> None:
    resolving(monkeypatch, "10.1.2.3")
    assert Rule(None, [entry]).permit("vault.corp", 8200) == [ipaddress.ip_address("10.1.2.3")]


def test_a_private_host_is_open_at_its_port_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, "10.1.2.3")
    with pytest.raises(Refused):
        Rule(None, ["vault.corp:8200"]).permit("vault.corp", 22)


def test_ipv6_entries_are_understood() -> None:
    rule = Rule([], ["[::1]:443", "fd00::/8"])
    assert rule.permit("::1", 443)
    with pytest.raises(Refused):
        rule.permit("::1", 80)
    assert rule.permit("fd00::5", 80)


def test_a_name_that_does_not_resolve_is_refused_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror("no")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(Refused, match="cannot be resolved"):
        Rule(None, []).permit("gone.example", 443)


@pytest.mark.parametrize(
    ("allow", "private"),
    [
        ([], []),  # a restricted run's
        (["registry.terraform.io", ".corp", "8.8.8.0/24"], []),
        (["vault.corp"], ["vault.corp", ".corp:443"]),
        (["10.0.0.0/8:8200"], ["[fd00::1]:8200"]),  # networks, at another port
    ],
)
def test_a_name_that_no_rule_could_open_is_never_asked_for(
    monkeypatch: pytest.MonkeyPatch, allow: list[str], private: list[str]
) -> None:
    def ask(*asked: object, **_: object) -> None:
        raise AssertionError(f"{asked} left the machine")

    monkeypatch.setattr(socket, "getaddrinfo", ask)
    for name in ("what-i-stole.evil.example", "corp", "vault.corp.evil.example"):
        with pytest.raises(Refused, match="list of hosts"):
            Rule(allow, private).permit(name, 443)


def test_a_name_is_resolved_where_a_network_is_on_the_list(monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, "10.1.2.3")
    rule = Rule(["10.1.0.0/16"], ["10.1.0.0/16"])
    assert rule.permit("vault.corp", 8200) == [ipaddress.ip_address("10.1.2.3")]
    resolving(monkeypatch, "8.8.8.8")
    with pytest.raises(Refused, match="list of hosts"):
        rule.permit("elsewhere.example", 443)

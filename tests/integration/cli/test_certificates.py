from __future__ import annotations

import socket
import ssl
import stat
import threading
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from app import clock
from app.cli import certificates
from app.errors import StateroomError


class Later:
    """A clock some days ahead."""

    def __init__(self, days: float) -> None:
        self.ahead = timedelta(days=days)
        self.real = clock.SystemClock()

    def now(self) -> datetime:
        return self.real.now() + self.ahead

    def monotonic(self) -> float:
        return self.real.monotonic()


def shake_hands(made: certificates.Certificates, name: str, trusted: Path) -> str:
    """Connect to a server with that certificate under *name*; gives what the server sent."""
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(made.certificate, made.key)
    ours, theirs = socket.socketpair()

    def serve() -> None:
        try:
            with server_context.wrap_socket(theirs, server_side=True) as connection:
                connection.sendall(b"hello")
        except ssl.SSLError:
            theirs.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        context = ssl.create_default_context(cafile=str(trusted))
        with context.wrap_socket(ours, server_hostname=name) as connection:
            return connection.recv(5).decode()
    finally:
        ours.close()
        thread.join()


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "::1", "tfe.example.com"])
def test_who_trusts_the_authority_trusts_the_server_by_each_name(tmp_path: Path, name: str) -> None:
    made = certificates.ensure(tmp_path, ["tfe.example.com"])
    assert shake_hands(made, name, made.ca) == "hello"


def test_a_name_that_was_not_asked_for_is_not_covered(tmp_path: Path) -> None:
    made = certificates.ensure(tmp_path)
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(made, "elsewhere.example.com", made.ca)


def test_the_bundle_holds_the_systems_roots_and_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = certificates.ensure(_directory(tmp_path, "other"))
    monkeypatch.setenv("SSL_CERT_FILE", str(other.ca))
    made = certificates.ensure(_directory(tmp_path, "ours"))
    assert shake_hands(made, "localhost", made.bundle) == "hello"
    assert shake_hands(other, "localhost", made.bundle) == "hello"


def test_a_bundle_of_ours_is_not_taken_for_the_systems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = certificates.ensure(tmp_path)
    before = made.bundle.read_bytes()
    monkeypatch.setenv("SSL_CERT_FILE", str(made.bundle))
    certificates.ensure(tmp_path)
    assert made.bundle.read_bytes() == before


def test_nothing_is_made_twice(tmp_path: Path) -> None:
    made = certificates.ensure(tmp_path, ["tfe.example.com"])
    before = [path.read_bytes() for path in (made.certificate, made.key, made.ca)]
    certificates.ensure(tmp_path)
    assert [path.read_bytes() for path in (made.certificate, made.key, made.ca)] == before


def test_a_new_name_gets_a_new_certificate_from_the_same_authority(tmp_path: Path) -> None:
    first = certificates.ensure(tmp_path)
    authority, certificate = first.ca.read_bytes(), first.certificate.read_bytes()
    certificates.ensure(tmp_path, ["tfe.example.com"])
    assert first.ca.read_bytes() == authority
    assert first.certificate.read_bytes() != certificate


def test_a_certificate_that_soon_expires_is_renewed(tmp_path: Path) -> None:
    made = certificates.ensure(tmp_path)
    before = made.certificate.read_bytes()
    with clock.using(Later(days=certificates.CERTIFICATE_LIFE.days - 60)):
        certificates.ensure(tmp_path)
    assert made.certificate.read_bytes() != before


def test_a_key_of_another_certificate_is_noticed(tmp_path: Path) -> None:
    made = certificates.ensure(tmp_path)
    other = certificates.ensure(_directory(tmp_path, "other"))
    made.key.write_bytes(other.key.read_bytes())
    certificates.ensure(tmp_path)
    assert shake_hands(made, "localhost", made.ca) == "hello"


def test_all_files_are_private(tmp_path: Path) -> None:
    certificates.ensure(tmp_path)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 5
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


def test_a_damaged_authority_is_named(tmp_path: Path) -> None:
    made = certificates.ensure(tmp_path)
    made.ca.write_text("not a certificate")
    with pytest.raises(StateroomError, match=r"ca\.pem is not a certificate that Stateroom made"):
        certificates.ensure(tmp_path)


def _directory(parent: Path, name: str) -> Path:
    path = parent / name
    path.mkdir()
    return path

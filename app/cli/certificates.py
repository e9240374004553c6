"""A certificate authority of this machine's own, and the certificate it gives to the server.

Terraform insists on HTTPS, so the first start makes what HTTPS needs.  The authority's key stays in the data
directory: whoever trusts `ca.pem` trusts this directory, nothing else.
"""

from __future__ import annotations

import ipaddress
import os
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from app import clock
from app.cli import private_files
from app.errors import StateroomError

if TYPE_CHECKING:
    from app.settings import Settings

EVERY_ADDRESS = ("0.0.0.0", "::")
ALWAYS_NAMED = ("localhost", "127.0.0.1", "::1")
AUTHORITY_LIFE = timedelta(days=3650)
#: The longest that Apple's systems accept of a certificate from a local authority is 825 days.
CERTIFICATE_LIFE = timedelta(days=820)
RENEW_BEFORE = timedelta(days=90)
#: Clocks of virtual machines are sometimes a little behind.
BACKDATED = timedelta(hours=1)

USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)

SYSTEM_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, Alpine, Arch
    "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora, RHEL
    "/etc/ssl/ca-bundle.pem",  # openSUSE
    "/etc/ssl/cert.pem",  # macOS, BSD
)


@dataclass(frozen=True, slots=True)
class Certificates:
    """Where they lie: `ca` is to be trusted, `bundle` is the system's roots and `ca` together."""

    certificate: Path
    key: Path
    ca: Path
    bundle: Path


def places(directory: Path) -> Certificates:
    tls = directory / "tls"
    return Certificates(tls / "certificate.pem", tls / "key.pem", directory / "ca.pem", directory / "ca-bundle.pem")


def names_of(settings: Settings) -> list[str]:
    """The names by which people and workers reach this server, besides those of loopback."""
    urls = (settings.external_url, settings.internal_url)
    names = [name for name in (urlsplit(url).hostname for url in urls) if name]
    return names if settings.host in EVERY_ADDRESS else [*names, settings.host]


def ensure(directory: Path, names: Iterable[str] = ()) -> Certificates:
    """Make what is missing, renew what soon expires or lacks one of *names*; keep the authority."""
    found = places(directory)
    wanted = tuple(dict.fromkeys((*ALWAYS_NAMED, *names)))
    found.certificate.parent.mkdir(mode=0o700, exist_ok=True)
    authority_key, authority = _authority(found.ca, found.certificate.parent / "ca-key.pem")
    if not _still_good(found, authority, wanted):
        _issue(found, authority_key, authority, wanted)
    bundle_with(found.ca, found.bundle)
    return found


def bundle_with(ca: Path, bundle: Path) -> None:
    """Write the system's roots and *ca* into one file, for `SSL_CERT_FILE`, which replaces the system's."""
    roots = _system_roots(bundle)
    private_files.write(bundle, roots.rstrip(b"\n") + b"\n" + ca.read_bytes())


def _authority(certificate: Path, key: Path) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    if certificate.exists() and key.exists():
        return _read_key(key), _read(certificate)
    made = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Stateroom on {os.uname().nodename}"[:64])])
    usage = _key_usage(key_cert_sign=True, crl_sign=True)
    signed = (
        _builder(name, name, made.public_key(), AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(made.public_key()), critical=False)
        .sign(made, hashes.SHA256())
    )
    private_files.write(key, _pem(made))
    private_files.write(certificate, signed.public_bytes(serialization.Encoding.PEM))
    return made, signed


def _issue(
    to: Certificates, signer: ec.EllipticCurvePrivateKey, authority: x509.Certificate, names: tuple[str, ...]
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    signed = (
        _builder(subject, authority.subject, key.public_key(), CERTIFICATE_LIFE)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .sign(signer, hashes.SHA256())
    )
    private_files.write(to.key, _pem(key))
    private_files.write(to.certificate, signed.public_bytes(serialization.Encoding.PEM))


def _still_good(found: Certificates, authority: x509.Certificate, names: tuple[str, ...]) -> bool:
    if not (found.certificate.exists() and found.key.exists()):
        return False
    certificate, key = _read(found.certificate), _read_key(found.key)
    try:
        certificate.verify_directly_issued_by(authority)
    except (InvalidSignature, ValueError):
        return False
    named = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return (
        certificate.public_key() == key.public_key()
        and certificate.not_valid_after_utc - clock.now() > RENEW_BEFORE
        and all(_general_name(name) in named for name in names)
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, life: timedelta
) -> x509.CertificateBuilder:
    now = clock.now()
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + life)
    )


def _key_usage(**given: bool) -> x509.KeyUsage:
    return x509.KeyUsage(**(dict.fromkeys(USAGES, False) | given))


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _read(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except ValueError as error:
        raise _damaged(path, "certificate") from error


def _read_key(path: Path) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except (ValueError, TypeError) as error:
        raise _damaged(path, "private key") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise _damaged(path, "private key")
    return key


def _damaged(path: Path, what: str) -> StateroomError:
    return StateroomError(
        f"{path} is not a {what} that Stateroom made.  Put back the file it was, or remove it and start again:"
        " a new one is made, and what trusted the old one must be told."
    )


def _system_roots(bundle: Path) -> bytes:
    """The roots programs here trust: what `SSL_CERT_FILE` names, unless that is our own bundle."""
    default = ssl.get_default_verify_paths().cafile
    for place in (os.environ.get("SSL_CERT_FILE"), *SYSTEM_BUNDLES, default):
        if place and Path(place).is_file() and not _is(Path(place), bundle):
            return Path(place).read_bytes()
    return b""


def _is(path: Path, bundle: Path) -> bool:
    return path.name == bundle.name or path.resolve() == bundle.resolve()

"""A provider that no mirror has: terraform fetches it by itself, through the proxy, and verifies it."""

from __future__ import annotations

import hashlib
import io
import json
import platform
import socket
import ssl
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pysequoia
import pytest
import trustme

from tests.e2e.site import Site, plain
from tests.e2e.up import Up, furnished

ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
PROGRAM = "terraform-provider-fake_v1.0.0"
ARCHIVE = f"terraform-provider-fake_1.0.0_linux_{ARCHITECTURE}.zip"

CONFIGURATION = """
terraform {
  required_providers {
    fake = { source = "%s/acme/fake" }
  }
}
output "said" { value = "one" }
"""


def own_address() -> str:
    """An address of this machine that is not loopback: terraform asks no proxy about those.  Nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("198.51.100.1", 9))
        return str(probe.getsockname()[0])


class Registry:
    """Publishes one provider, signed, over TLS, and remembers what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.authority = trustme.CA()
        self.server = ThreadingHTTPServer(("0.0.0.0", 0), self._handler())
        self.host = f"{own_address()}:{self.server.server_address[1]}"
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.authority.issue_cert(own_address()).configure_cert(context)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.files = self._published()
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def _published(self) -> dict[str, bytes]:
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr(zipfile.ZipInfo(PROGRAM), "#!/bin/sh\nexit 1\n")
        content = packed.getvalue()
        sums = f"{hashlib.sha256(content).hexdigest()}  {ARCHIVE}\n".encode()
        key = pysequoia.Tsk.generate("Test Registry <registry@example.com>")
        public = key.extract_certificate()
        signature = pysequoia.sign(key.signer(), sums, mode=pysequoia.SignatureMode.DETACHED, armor=False)
        base = f"https://{self.host}"
        download = {
            "protocols": ["5.0"],
            "os": "linux",
            "arch": ARCHITECTURE,
            "filename": ARCHIVE,
            "download_url": f"{base}/{ARCHIVE}",
            "shasum": hashlib.sha256(content).hexdigest(),
            "shasums_url": f"{base}/SHA256SUMS",
            "shasums_signature_url": f"{base}/SHA256SUMS.sig",
            "signing_keys": {
                "gpg_public_keys": [{"key_id": public.fingerprint[-16:].upper(), "ascii_armor": str(public)}]
            },
        }
        versions = [{"version": "1.0.0", "protocols": ["5.0"], "platforms": [{"os": "linux", "arch": ARCHITECTURE}]}]
        provider = "/v1/providers/acme/fake"
        return {
            "/.well-known/terraform.json": json.dumps({"providers.v1": "/v1/providers/"}).encode(),
            f"{provider}/versions": json.dumps({"versions": versions}).encode(),
            f"{provider}/1.0.0/download/linux/{ARCHITECTURE}": json.dumps(download).encode(),
            f"/{ARCHIVE}": content,
            "/SHA256SUMS": sums,
            "/SHA256SUMS.sig": signature,
        }

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        registry = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                registry.asked.append(self.path)
                found = registry.files.get(self.path)
                self.send_response(200 if found is not None else 404)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(found or b"")))
                self.end_headers()
                self.wfile.write(found or b"")

            def log_message(self, *_: object) -> None:
                """Nothing on the test's output."""

        return Handler


@pytest.fixture
def registry() -> Iterator[Registry]:
    registry = Registry()
    yield registry
    registry.server.shutdown()
    registry.server.server_close()


@pytest.fixture
def data(tmp_path: Path, migrated_database: Path) -> Path:
    return furnished(tmp_path / "data", migrated_database)


def log_of_a_plan(data: Path, registry: Registry, **settings: str) -> str:
    up = Up(data, **settings)
    try:
        site = Site(up.wait_until_ready())
        workspace = site.make_workspace("fetches")
        site.set_variable(workspace, "SSL_CERT_FILE", "/stateroom/config/ca.pem", "env")
        files = {
            "main.tf": CONFIGURATION % registry.host,
            "ca.pem": registry.authority.cert_pem.bytes().decode(),
        }
        run = site.start(workspace, files)
        return plain(run.follow("plan").whole()).decode()
    finally:
        up.end()


def test_a_provider_that_the_mirror_lacks_comes_through_the_proxy(data: Path, registry: Registry) -> None:
    address = registry.host.partition(":")[0]
    said = log_of_a_plan(data, registry, STATEROOM_EGRESS_ALLOW=address)
    assert f"Installed {registry.host}/acme/fake v1.0.0" in said, said
    assert f"/{ARCHIVE}" in registry.asked


def test_a_registry_the_site_does_not_allow_is_not_reached(data: Path, registry: Registry) -> None:
    said = log_of_a_plan(data, registry)
    assert "Installed" not in said
    assert "Forbidden" in said, said
    assert registry.asked == []

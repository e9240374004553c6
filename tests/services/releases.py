"""A mirror of releases over HTTPS, signed by a key of its own, of which a test may spoil any part."""

from __future__ import annotations

import hashlib
import io
import json
import platform
import shutil
import ssl
import threading
import zipfile
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pysequoia
import trustme

ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
PLATFORM = f"linux_{ARCHITECTURE}"


def terraform() -> Path:
    where = shutil.which("terraform")
    assert where is not None
    return Path(where).resolve()


def packed(files: Mapping[str, bytes | Path]) -> bytes:
    """A zip of *files*, stored, not packed: it is quick."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content.read_bytes() if isinstance(content, Path) else content)
    return target.getvalue()


class Mirror:
    """Serves `files` by path, as releases.hashicorp.com would, and remembers what it was asked for."""

    def __init__(self, directory: Path) -> None:
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.key = pysequoia.Tsk.generate("Test Mirror <mirror@example.com>")
        self.keys = directory / "mirror.asc"
        self.keys.write_text(str(self.key.extract_certificate()))
        authority = trustme.CA()
        self.ca = directory / "mirror-ca.pem"
        authority.cert_pem.write_to_path(str(self.ca))
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"https://localhost:{self.server.server_address[1]}"
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(context)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def folder(self, version: str) -> str:
        return f"/terraform/{version}"

    def archive(self, version: str) -> str:
        return f"{self.folder(version)}/terraform_{version}_{PLATFORM}.zip"

    def sums(self, version: str) -> str:
        return f"{self.folder(version)}/terraform_{version}_SHA256SUMS"

    def publish(self, version: str, content: bytes | None = None) -> None:
        """A version, whose program is the terraform of this machine unless *content* says else."""
        content = content if content is not None else packed({"terraform": terraform(), "LICENSE.txt": b"..."})
        sums = f"{hashlib.sha256(content).hexdigest()}  {self.archive(version).rpartition('/')[2]}\n".encode()
        self.files[self.archive(version)] = content
        self.files[self.sums(version)] = sums
        self.sign(version)
        builds = [{"os": "linux", "arch": ARCHITECTURE, "filename": "…"}, {"os": "darwin", "arch": "arm64"}]
        known = json.loads(self.files.get("/terraform/index.json", b'{"name": "terraform", "versions": {}}'))
        known["versions"][version] = {"name": "terraform", "version": version, "builds": builds}
        self.files["/terraform/index.json"] = json.dumps(known).encode()

    def publish_opentofu(self, version: str, content: bytes) -> None:
        """A version of OpenTofu, laid out as it is on GitHub, with the index of get.opentofu.org."""
        folder, archive = f"/tofu/v{version}", f"tofu_{version}_{PLATFORM}.zip"
        sums = f"{hashlib.sha256(content).hexdigest()}  {archive}\n".encode()
        signature = pysequoia.sign(self.key.signer(), sums, mode=pysequoia.SignatureMode.DETACHED, armor=False)
        self.files[f"{folder}/{archive}"] = content
        self.files[f"{folder}/tofu_{version}_SHA256SUMS"] = sums
        self.files[f"{folder}/tofu_{version}_SHA256SUMS.gpgsig"] = signature
        self.files["/tofu/api.json"] = json.dumps({"versions": [{"id": version, "files": [archive]}]}).encode()

    def sign(self, version: str, key: pysequoia.Tsk | None = None) -> None:
        signer = (key or self.key).signer()
        content = self.files[self.sums(version)]
        signature = pysequoia.sign(signer, content, mode=pysequoia.SignatureMode.DETACHED, armor=False)
        self.files[self.sums(version) + ".sig"] = signature

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        mirror = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                mirror.asked.append(self.path)
                found = mirror.files.get(self.path.partition("?")[0])
                self.send_response(200 if found is not None else 404)
                self.send_header("content-length", str(len(found or b"")))
                self.end_headers()
                self.wfile.write(found or b"")

            def log_message(self, *_: object) -> None:
                """Nothing on the test's output."""

        return Handler

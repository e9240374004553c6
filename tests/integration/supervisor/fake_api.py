"""A small state API in a thread: what a supervisor and its run ask of Stateroom, and nothing else."""

from __future__ import annotations

import hashlib
import json
import ssl
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

WORKSPACE = "ws-0000000000000001"
OTHER = "ws-0000000000000002"
TOKEN = "run-token.atlasv1.0123456789abcdefghij"
LINKS = "http://stateroom.internal"


@dataclass
class Version:
    id: str
    serial: int
    lineage: str
    md5: str
    intermediate: bool
    data: bytes = b""
    arrived: float = 0.0

    @property
    def resources(self) -> list[str]:
        return sorted(resource["name"] for resource in json.loads(self.data)["resources"])


@dataclass
class FakeApi:
    """State and behaviour, to be looked at and changed while it serves."""

    versions: list[Version] = field(default_factory=list)
    calls: list[tuple[str, str]] = field(default_factory=list)
    is_away: bool = False
    is_faulty: bool = False
    token: str = TOKEN
    hold: threading.Event = field(default_factory=threading.Event)
    """Until it is set, reads of the other workspace's state are not answered."""
    other: bytes = b""
    url: str = ""

    @property
    def finals(self) -> list[Version]:
        return [version for version in self.versions if not version.intermediate and version.data]

    def seed(self, data: bytes) -> None:
        state = json.loads(data)
        self.versions.append(
            Version("sv-seed", state["serial"], state["lineage"], hashlib.md5(data).hexdigest(), False, data)
        )

    def serve(self, context: ssl.SSLContext | None = None) -> ThreadingHTTPServer:
        server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        server.daemon_threads = True
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        scheme, host = ("https", "localhost") if context else ("http", "127.0.0.1")
        self.url = f"{scheme}://{host}:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return server


def _handler(api: FakeApi) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:
            pass

        def do_GET(self) -> None:
            self._route()

        do_POST = do_PUT = do_GET

        def _route(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            api.calls.append((self.command, self.path))
            if api.is_away:
                self._say(503, {"errors": [{"status": "503", "title": "away"}]})
            elif api.is_faulty:
                self._say(500, {"errors": [{"status": "500", "title": "an error of ours"}]})
            elif self.path.startswith("/v1/object/"):
                self._object(self.path.rpartition("/")[2], body)
            elif self.headers.get("Authorization") != f"Bearer {api.token}":
                self._say(401, {"errors": [{"status": "401", "title": "unauthorized"}]})
            else:
                self._api(body)

        def _api(self, body: bytes) -> None:
            path = self.path
            if path == "/api/v2/ping":
                self._send(204, b"")
            elif path.endswith("/entitlement-set"):
                self._say(200, {"data": {"id": "org", "type": "entitlement-sets", "attributes": {"operations": True}}})
            elif path == f"/api/v2/workspaces/{WORKSPACE}":
                self._say(200, {"data": {"id": WORKSPACE, "type": "workspaces", "attributes": {"name": "mine"}}})
            elif path == "/api/v2/organizations/main/workspaces/other":
                self._say(200, {"data": {"id": OTHER, "type": "workspaces", "attributes": {"name": "other"}}})
            elif path == f"/api/v2/workspaces/{OTHER}/current-state-version":
                api.hold.wait(120)
                self._say(200, {"data": self._document(Version("sv-other", 1, "other", "", False, api.other))})
            elif path == f"/api/v2/workspaces/{WORKSPACE}/current-state-version":
                self._current()
            elif path.endswith("/state-versions") and self.command == "POST":
                self._create(json.loads(body)["data"]["attributes"])
            else:
                self._say(404, {"errors": [{"status": "404", "title": "not found"}]})

        def _current(self) -> None:
            whole = [version for version in api.versions if version.data]
            if not whole:
                self._say(404, {"errors": [{"status": "404", "title": "not found"}]})
                return
            self._say(200, {"data": self._document(whole[-1])})

        def _create(self, attributes: dict[str, Any]) -> None:
            kept = {name: attributes[name] for name in ("serial", "lineage", "md5", "intermediate")}
            newest = next((version for version in reversed(api.versions) if version.data), None)
            if newest is not None and newest.serial == kept["serial"] and newest.md5 == kept["md5"]:
                newest.intermediate = newest.intermediate and kept["intermediate"]
                self._say(201, {"data": self._document(newest)})
            elif newest is not None and (newest.serial >= kept["serial"] or newest.lineage != kept["lineage"]):
                self._say(409, {"errors": [{"status": "409", "title": "conflict", "detail": "serial or lineage"}]})
            else:
                version = Version(f"sv-{len(api.versions)}", **kept)
                api.versions.append(version)
                self._say(201, {"data": self._document(version)})

        def _document(self, version: Version) -> dict[str, Any]:
            link = f"{LINKS}/v1/object/{version.id}"
            attributes = {
                "serial": version.serial,
                "hosted-state-download-url": link,
                "hosted-state-upload-url": None if version.data else link,
            }
            return {"id": version.id, "type": "state-versions", "attributes": attributes}

        def _object(self, id: str, body: bytes) -> None:
            if id == "sv-other":
                self._send(200, api.other)
                return
            version = next(version for version in api.versions if version.id == id)
            if self.command == "GET":
                self._send(200, version.data)
            elif hashlib.md5(body).hexdigest() == version.md5:
                version.data, version.arrived = body, time.monotonic()
                self._send(200, b"")
            else:
                self._say(409, {"errors": [{"status": "409", "title": "md5"}]})

        def _say(self, status: int, document: dict[str, Any]) -> None:
            self._send(status, json.dumps(document).encode())

        def _send(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/vnd.api+json")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("TFP-API-Version", "2.6")
            self.end_headers()
            self.wfile.write(body)

    return Handler

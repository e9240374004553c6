"""A server that answers every call of a stock CLI at once, with a run that has already finished.

It stores nothing, executes nothing and waits for nothing, so what a command takes against it is the client's
own waiting: the floor under every server of this protocol. It is started like the product (`--data`,
`--port`), writes the same files for the client and prints the same ready line, so that one code drives both.
"""

from __future__ import annotations

import argparse
import json
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

import trustme
import uvicorn
import uvloop

from bench import ideal_documents as documents
from bench.ideal_documents import many, one

TOKEN = "ideal"

#: Sent with every answer.  The pair of names every CLI since 1.1 understands, and the API level HCP is at.
HEADERS = {
    "TFP-API-Version": "2.6",
    "TFP-AppName": "Terraform Enterprise",
    "X-TFE-Version": "v202501-1",
    "X-RateLimit-Limit": "100",
}

#: A whole log: 0x02, the text, 0x03.  Its first three lines are the header that an apply's reader drops.
LOG = (
    b"\x02Terraform v1.11.4\non linux_amd64\nInitializing plugins and modules...\n\n"
    b"No changes. Your infrastructure matches the configuration.\n\x03"
)

SERVICES = {
    "modules.v1": "/api/registry/v1/modules/",
    "providers.v1": "/api/registry/v1/providers/",
    "state.v2": "/api/v2/",
    "tfe.v2": "/api/v2/",
    "tfe.v2.1": "/api/v2/",
    "tfe.v2.2": "/api/v2/",
}

Body = dict[str, Any] | bytes | None
Answer = tuple[int, Body]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Answerer = Callable[..., Answer]


def log(query: str) -> bytes:
    """The part of the log that *query* (`limit`, `offset`) asks for; nothing past its end."""
    asked = dict(pair.split("=", 1) for pair in query.split("&") if "=" in pair)
    offset = int(asked.get("offset", 0))
    return LOG[offset : offset + int(asked.get("limit", 65536))]


def run_document(query: str) -> dict[str, Any]:
    """The run, and in full whichever of plan and workspace *query* includes."""
    included = []
    if "include=" in query and "workspace" in query:
        included.append(documents.workspace())
    if "include=" in query and "plan" in query:
        included.append(documents.phase("plans", documents.PLAN, ""))
    return one(documents.run(), *included)


API = "/api/v2"
BY_NAME = API + "/organizations/(?P<organization>[^/]+)/workspaces/(?P<name>[^/]+)"
WORKSPACE = API + "/workspaces/[^/]+"

#: method, path, answer.  An answer gets the groups of the path, and `base` (our own URL) and `query` on top.
ROUTES: list[tuple[str, str, Answerer]] = [
    ("GET", "/.well-known/terraform.json", lambda **_: (200, SERVICES)),
    ("GET", API + "/ping", lambda **_: (204, None)),
    (
        "GET",
        API + "/organizations/(?P<organization>[^/]+)/entitlement-set",
        lambda organization, **_: (200, one(documents.entitlements(organization))),
    ),
    (
        "GET",
        API + "/organizations/(?P<organization>[^/]+)/capacity",
        lambda organization, **_: (200, one(documents.capacity(organization))),
    ),
    ("GET", API + "/organizations/[^/]+/runs/queue", lambda **_: (200, many())),
    ("GET", API + "/organizations/[^/]+/projects", lambda **_: (200, many(documents.project()))),
    ("GET", API + "/organizations/[^/]+/workspaces", lambda **_: (200, many(documents.workspace()))),
    ("POST", API + "/organizations/[^/]+/workspaces", lambda **_: (201, one(documents.workspace()))),
    ("POST", BY_NAME + "/actions/safe-delete", lambda **_: (204, None)),
    ("DELETE", BY_NAME, lambda **_: (204, None)),
    ("GET", BY_NAME, lambda organization, name, **_: (200, one(documents.workspace(organization, name)))),
    ("PATCH", WORKSPACE, lambda **_: (200, one(documents.workspace()))),
    (
        "POST",
        WORKSPACE + "/actions/(lock|unlock|force-unlock)",
        lambda **_: (200, one(documents.workspace())),
    ),
    ("GET", WORKSPACE + "/(vars|all-vars|tag-bindings|runs)", lambda **_: (200, many())),
    ("PATCH", WORKSPACE + "/tag-bindings", lambda **_: (200, many())),
    ("POST", WORKSPACE + "/relationships/tags", lambda **_: (204, None)),
    ("GET", WORKSPACE + "/current-state-version-outputs", lambda **_: (200, many())),
    (
        "POST",
        WORKSPACE + "/state-versions",
        lambda base, **_: (201, one(documents.state_version(f"{base}/transfers/state"))),
    ),
    (
        "GET",
        API + "/state-versions/[^/]+",
        lambda base, **_: (200, one(documents.state_version(f"{base}/transfers/state"))),
    ),
    (
        "POST",
        WORKSPACE + "/configuration-versions",
        lambda base, **_: (201, one(documents.configuration(f"{base}/transfers/archive", "pending"))),
    ),
    (
        "GET",
        API + "/configuration-versions/[^/]+",
        lambda base, **_: (200, one(documents.configuration(f"{base}/transfers/archive", "uploaded"))),
    ),
    ("PUT", "/transfers/.*", lambda **_: (200, None)),
    ("POST", API + "/runs", lambda **_: (201, one(documents.run()))),
    ("GET", API + "/runs/[^/]+", lambda query, **_: (200, run_document(query))),
    ("GET", API + "/runs/[^/]+/run-events", lambda **_: (200, many())),
    ("POST", API + "/runs/[^/]+/actions/[^/]+", lambda **_: (202, None)),
    (
        "GET",
        API + "/plans/[^/]+",
        lambda base, **_: (200, one(documents.phase("plans", documents.PLAN, f"{base}/logs/plan"))),
    ),
    (
        "GET",
        API + "/applies/[^/]+",
        lambda base, **_: (200, one(documents.phase("applies", documents.APPLY, f"{base}/logs/apply"))),
    ),
    ("GET", "/logs/.*", lambda query, **_: (200, log(query))),
]

_COMPILED = [(method, re.compile(path), answerer) for method, path, answerer in ROUTES]
_NOT_FOUND: Answer = (404, {"errors": [{"status": "404", "title": "not found"}]})


def answer(method: str, path: str, query: str, base: str) -> Answer:
    """What to say to one call.  No workspace has a state, so current versions are among what is not found."""
    for accepted, pattern, answerer in _COMPILED:
        if accepted == method and (match := pattern.fullmatch(path)):
            return answerer(base=base, query=query, **match.groupdict())
    return _NOT_FOUND


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """The ASGI application."""
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body", False):
        pass
    host = dict(scope["headers"]).get(b"host", b"localhost").decode()
    path, query = scope["path"], scope["query_string"].decode()
    status, body = answer(scope["method"], path, query, f"{scope['scheme']}://{host}")
    content = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else b""
    kind = "application/vnd.api+json" if path.startswith(API) else "application/json"
    headers = {**HEADERS, "Content-Type": kind, "Content-Length": str(len(content))}
    if status == 204:
        del headers["Content-Length"]
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": content})


def write_client_files(data: Path, port: int) -> tuple[Path, Path]:
    """Make a CA and what a client needs, under the product's names; return certificate and key."""
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    chain, key = data / "server.pem", data / "server-key.pem"
    chain.write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
    key.write_bytes(certificate.private_key_pem.bytes())
    key.chmod(0o600)
    system = ssl.get_default_verify_paths().cafile
    roots = Path(system).read_bytes() if system else b""
    (data / "ca.pem").write_bytes(authority.cert_pem.bytes())
    (data / "ca-bundle.pem").write_bytes(roots + b"\n" + authority.cert_pem.bytes())
    (data / "admin-token").write_text(TOKEN + "\n")
    (data / "terraformrc").write_text(_cli_config(port))
    return chain, key


def _cli_config(port: int) -> str:
    """Credentials, and a `host` block so that no discovery is needed: as the product writes it."""
    services = "\n".join(f'    "{name}" = "https://localhost:{port}{path}"' for name, path in SERVICES.items())
    return (
        f'credentials "localhost:{port}" {{\n  token = "{TOKEN}"\n}}\n'
        f'host "localhost:{port}" {{\n  services = {{\n{services}\n  }}\n}}\n'
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.ideal_server", description=__doc__.split("\n\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="directory for the CA, the token and terraformrc")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--no-tls", action="store_true", help="speak plain HTTP")
    options = parser.parse_args()
    listening = socket.create_server(("127.0.0.1", options.port))
    port = listening.getsockname()[1]
    options.data.mkdir(parents=True, exist_ok=True)
    certificate, key = write_client_files(options.data, port)
    tls: dict[str, Any] = {} if options.no_tls else {"ssl_certfile": certificate, "ssl_keyfile": key}
    config = uvicorn.Config(app, lifespan="off", access_log=False, log_level="warning", **tls)
    print(f"ready {'http' if options.no_tls else 'https'}://localhost:{port}", flush=True)
    # asyncio's own loop sets TCP_NODELAY on no socket whose protocol number is left to the system, as here, and
    # each answer would wait 40 ms for the client's acknowledgement; uvloop sets it on all.
    uvloop.run(uvicorn.Server(config).serve(sockets=[listening]))


if __name__ == "__main__":
    main()

"""A host of repositories: git's own server, open to who has one token."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import uvicorn
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from app.secret import Secret

TOKEN = Secret("ghs_only-this-fetch")
EXPECTED = "Basic " + base64.b64encode(b"x-access-token:ghs_only-this-fetch").decode()
#: Without what this machine tells git: LFS may have put its filters there.
ALONE = {**os.environ, "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null"}


def git(directory: Path, *arguments: str) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "protocol.file.allow=always"]
    command = ["git", *who, "-C", str(directory), *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=ALONE)
    return done.stdout.strip()


def commit(directory: Path, files: dict[str, str]) -> str:
    """A repository of *files* that anyone who is let in may fetch from; the commit's id."""
    directory.mkdir(parents=True, exist_ok=True)
    git(directory, "init", "-q", "-b", "main")
    git(directory, "config", "http.receivepack", "false")
    git(directory, "config", "uploadpack.allowReachableSHA1InWant", "true")
    for name, text in files.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(text)
    git(directory, "add", "-A")
    git(directory, "commit", "-q", "-m", "one")
    return git(directory, "rev-parse", "HEAD")


class Host:
    """What serves the repositories below *root* with git's own server, to who has the token."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.url = ""
        self.refused = 0
        #: Where paths begin that need no token.
        self.public: set[str] = set()
        #: The paths of all requests.
        self.asked: list[str] = []
        #: What Git LFS keeps, by its digest.
        self.large: dict[str, bytes] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        self.asked.append(request.url.path)
        is_public = any(request.url.path.startswith(f"{path}/") for path in self.public)
        if request.headers.get("authorization") != EXPECTED and not is_public:
            self.refused += 1
            answer = Response("no", 401, headers={"www-authenticate": "Basic"})
        else:
            answer = await self._served(request)
        await answer(scope, receive, send)

    def keep_large(self, content: bytes) -> str:
        """Let LFS have *content*; the text that points to it."""
        digest = hashlib.sha256(content).hexdigest()
        self.large[digest] = content
        return f"version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\nsize {len(content)}\n"

    async def _batch(self, request: Request) -> Response:
        wanted = [one["oid"] for one in (await request.json())["objects"]]
        known = [
            {
                "oid": oid,
                "size": len(self.large[oid]),
                "actions": {"download": {"href": f"{self.url}/large/{oid}"}},
            }
            for oid in wanted
        ]
        return JSONResponse({"transfer": "basic", "objects": known}, media_type="application/vnd.git-lfs+json")

    async def _served(self, request: Request) -> Response:
        path = request.url.path
        if path.endswith("/info/lfs/objects/batch"):
            return await self._batch(request)
        if path.startswith("/large/"):
            return Response(self.large[path.rpartition("/")[2]])
        environment = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(self.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
            "PATH_INFO": request.url.path,
            "QUERY_STRING": request.url.query,
            "REQUEST_METHOD": request.method,
            "CONTENT_TYPE": request.headers.get("content-type", ""),
            "HTTP_CONTENT_ENCODING": request.headers.get("content-encoding", ""),
            "GIT_PROTOCOL": request.headers.get("git-protocol", ""),
        }
        body = await request.body()
        done = await asyncio.to_thread(
            subprocess.run, ["git", "http-backend"], input=body, env=environment, capture_output=True
        )
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().splitlines())
        return Response(content, int(headers.pop("Status", "200").split()[0]), headers=headers)


@asynccontextmanager
async def serving(host: Host) -> AsyncIterator[Host]:
    server = uvicorn.Server(uvicorn.Config(host, log_level="error", lifespan="off", ws="none"))
    listening = socket.create_server(("127.0.0.1", 0))
    task = asyncio.create_task(server.serve([listening]))
    host.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    try:
        yield host
    finally:
        server.should_exit = True
        await task

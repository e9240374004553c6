"""What stands before the emulator: the addresses of an Enterprise Server, and the archives that it does not make.

Everything else goes through as it is, the times of its tokens too, which have a fraction of a second that GitHub's have
not.
"""

from __future__ import annotations

import base64
import gzip
import io
import json
import secrets
import tarfile
from dataclasses import dataclass, field
from typing import Any

import httpx2
from starlette.requests import Request
from starlette.responses import Response

BASE = "/api/v3"
ARCHIVES = "/archives/"
#: Headers that are about a connection, or about the length of a body that is read whole.
_OF_CONNECTIONS = {"connection", "content-encoding", "content-length", "host", "keep-alive", "transfer-encoding"}


@dataclass(frozen=True)
class Ticket:
    """Lets somebody fetch one archive once, with the token of whoever asked for it."""

    repository: str
    sha: str
    authorization: str


@dataclass
class Front:
    """`asked` are the requests that came, each with its status: ``POST /app/installations/7/access_tokens 201``."""

    behind: str = ""
    url: str = ""
    asked: list[str] = field(default_factory=list)
    tickets: dict[str, Ticket] = field(default_factory=dict)
    emulator: httpx2.AsyncClient = field(default_factory=httpx2.AsyncClient)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        request = Request(scope, receive)
        path = scope["raw_path"].decode()
        if path.startswith(ARCHIVES):
            answer = await self._archive(path.removeprefix(ARCHIVES))
        elif path.startswith(f"{BASE}/"):
            path = path.removeprefix(BASE)
            answer = await self._rest(request, path)
        else:
            answer = Response("a page of GitHub's", 404)
        self.asked.append(f"{request.method} {path} {answer.status_code}")
        await answer(scope, receive, send)

    async def _rest(self, request: Request, path: str) -> Response:
        parts = path.strip("/").split("/")
        if request.method == "GET" and parts[0] == "repos" and parts[3:4] == ["tarball"]:
            return await self._ticket("/".join(parts[1:3]), parts[4], request.headers["authorization"])
        headers = [(name, value) for name, value in request.headers.items() if name not in _OF_CONNECTIONS]
        query = request.scope["query_string"].decode()
        said = await self.emulator.request(
            request.method, f"{self.behind}{path}?{query}", headers=headers, content=await request.body()
        )
        passed = {name: value for name, value in said.headers.items() if name.lower() not in _OF_CONNECTIONS}
        return Response(said.content, said.status_code, headers=passed)

    async def _ticket(self, repository: str, sha: str, authorization: str) -> Response:
        """Only where the emulator lets the token see the commit."""
        seen = await self.emulator.get(
            f"{self.behind}/repos/{repository}/git/commits/{sha}", headers={"authorization": authorization}
        )
        if seen.status_code != 200:
            return Response(seen.content, seen.status_code, media_type="application/json")
        ticket = secrets.token_hex(16)
        self.tickets[ticket] = Ticket(repository, sha, authorization)
        return Response(status_code=302, headers={"location": f"{self.url}{ARCHIVES}{ticket}"})

    async def _archive(self, name: str) -> Response:
        ticket = self.tickets.pop(name, None)
        if ticket is None:
            return Response("404: Not Found", 404)
        headers = {"authorization": ticket.authorization}
        repository = f"/repos/{ticket.repository}"
        tree = await self._read(f"{repository}/git/trees/{ticket.sha}?recursive=1", headers)
        folder = f"{ticket.repository.replace('/', '-')}-{ticket.sha[:7]}"
        files = {}
        for one in tree["tree"]:
            if one["type"] == "blob":
                blob = await self._read(f"{repository}/git/blobs/{one['sha']}", headers)
                files[f"{folder}/{one['path']}"] = base64.b64decode(blob["content"])
        return Response(_packed(files, ticket.sha), media_type="application/x-gzip")

    async def _read(self, path: str, headers: dict[str, str]) -> Any:
        answer = await self.emulator.get(self.behind + path, headers=headers)
        assert answer.status_code == 200, (path, answer.text)
        return json.loads(answer.content)


def _packed(files: dict[str, bytes], sha: str) -> bytes:
    """As `git archive` does it: the commit is the archive's comment."""
    packed = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=packed, mode="wb") as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT, pax_headers={"comment": sha}) as archive,
    ):
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o644
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()

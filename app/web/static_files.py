"""What pages load: package data, served under a name that changes with its content, so kept for ever."""

from __future__ import annotations

import gzip
import mimetypes
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from importlib.resources import files
from importlib.resources.abc import Traversable

from starlette.requests import Request
from starlette.responses import Response

from app.errors import NotFound
from app.http.routing import Route

KINDS = (".css", ".js", ".svg")
_FOREVER = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class StaticFile:
    served_as: str
    content: bytes
    packed: bytes
    media_type: str


def _read(folder: Traversable) -> Iterator[tuple[str, StaticFile]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _read(entry)
        elif entry.name.endswith(KINDS):
            content = entry.read_bytes()
            stem, _, kind = entry.name.rpartition(".")
            served_as = f"{stem}.{blake2b(content, digest_size=6).hexdigest()}.{kind}"
            media_type = mimetypes.types_map["." + kind]
            yield entry.name, StaticFile(served_as, content, gzip.compress(content, 9, mtime=0), media_type)


FILES = dict(_read(files("app.web") / "static"))
_SERVED = {file.served_as: file for file in FILES.values()}


def url(name: str) -> str:
    """Where *name* (``"stateroom.css"``) is served.  Raises KeyError if there is no such file."""
    return f"/static/{FILES[name].served_as}"


async def serve(request: Request) -> Response:
    """GET /static/{name}"""
    file = _SERVED.get(request.path_params["name"])
    if file is None:
        raise NotFound("There is no such file; the page that names it is from another version. Load it again.")
    headers = {"Cache-Control": _FOREVER, "Vary": "Accept-Encoding"}
    content = file.content
    if "gzip" in request.headers.get("accept-encoding", ""):
        content, headers["Content-Encoding"] = file.packed, "gzip"
    return Response(content, headers=headers, media_type=file.media_type)


routes = [Route("/static/{name}", serve)]

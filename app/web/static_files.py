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
#: Files that are served as one.  htmx begins as soon as it is there, and an extension that arrives later has missed it.
BUNDLES = {"live.js": ("htmx.min.js", "hx-sse.min.js")}
_FOREVER = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class StaticFile:
    served_as: str
    content: bytes
    packed: bytes
    media_type: str


def _read(folder: Traversable) -> Iterator[tuple[str, bytes]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _read(entry)
        elif entry.name.endswith(KINDS):
            yield entry.name, entry.read_bytes()


def _file(name: str, content: bytes) -> StaticFile:
    stem, _, kind = name.rpartition(".")
    served_as = f"{stem}.{blake2b(content, digest_size=6).hexdigest()}.{kind}"
    return StaticFile(served_as, content, gzip.compress(content, 9, mtime=0), mimetypes.types_map["." + kind])


def _all() -> dict[str, StaticFile]:
    found = dict(_read(files("app.web") / "static"))
    for bundle, names in BUNDLES.items():
        found[bundle] = b"\n".join(found.pop(name) for name in names)
    return {name: _file(name, content) for name, content in found.items()}


FILES = _all()
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

"""Finds who answers a path, by its segments.

A list of patterns tried one after the other costs two thirds of the throughput at 150 routes.  Here the
patterns form a tree: one dictionary look-up per segment, a fixed word before a parameter.  A request's path
may hold a signature, so logs and metrics speak of `Route.path`, the pattern, and never of the path itself.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.http.refusals import Refusal, Refuse, refuse

Endpoint = Callable[[Request], Awaitable[Response]]

#: What is logged and counted instead of the path where no route matches.
UNMATCHED = "(no such path)"
_PARAMETER = re.compile(r"\{([a-z_]+)(:path)?\}")


@dataclass(frozen=True)
class Route:
    """*endpoint* answers *methods* of *path*: fixed words, ``{parameters}`` and at the end perhaps
    ``{rest:path}``.

    *body* names the limit of `limits.Limits` that the middleware enforces; None is for endpoints that read
    the body as it comes, and bound it themselves.
    """

    path: str
    endpoint: Endpoint
    methods: Sequence[str] = ("GET",)
    body: str | None = "json"

    @cached_property
    def name(self) -> str:
        """The endpoint as the route list and the tests call it: ``runs.apply``."""
        module = self.endpoint.__module__.rpartition(".")[2]
        return f"{module}.{getattr(self.endpoint, '__name__', type(self.endpoint).__name__)}"

    @cached_property
    def segments(self) -> tuple[str, ...]:
        return tuple(self.path.removeprefix("/").split("/"))

    @cached_property
    def parameters(self) -> tuple[str, ...]:
        return tuple(match[1] for part in self.segments if (match := _PARAMETER.fullmatch(part)))


def under(prefix: str, routes: Iterable[Route], *, around: Callable[[Endpoint], Endpoint] | None = None) -> list[Route]:
    """*routes* moved below *prefix*, each endpoint wrapped by *around* (errors into documents, say)."""
    return [replace(r, path=prefix + r.path, endpoint=around(r.endpoint) if around else r.endpoint) for r in routes]


@dataclass
class _Node:
    words: dict[str, _Node] = field(default_factory=dict)
    parameter: _Node | None = None
    routes: dict[str, Route] = field(default_factory=dict)  # by method
    rest: dict[str, Route] = field(default_factory=dict)  # those that take all that follows


_Found = tuple[dict[str, Route], tuple[str, ...]]


class Router:
    """An ASGI application of *routes*; *lifespan* is Starlette's.

    Middleware that must know the route (a body's limit) calls `match` first; dispatching uses what it
    found.
    """

    def __init__(self, routes: Iterable[Route], *, lifespan: Any = None, refuse: Refuse = refuse) -> None:
        self.routes: list[Route] = []
        self._root = _Node()
        self._refuse = refuse
        self._lifespan = _lifespan(lifespan)
        for route in routes:
            self._add(route)

    def __iter__(self) -> Iterator[Route]:
        return iter(self.routes)

    def words_beside(self, path: str) -> frozenset[str]:
        """The fixed words that stand where *path* ends in a parameter.

        ``words_beside("/app/{organization}")`` are the names an organization cannot have.
        """
        node: _Node | None = self._root
        for part in path.removeprefix("/").split("/")[:-1]:
            node = node and (node.parameter if part.startswith("{") else node.words.get(part))
        return frozenset(node.words) if node else frozenset()

    def match(self, scope: Scope) -> Route | None:
        """Find the route of *scope* and note it there, with the values of its parameters."""
        if "route" not in scope:
            methods, values = self._find(_segments(scope), scope["method"]) or ({}, ())
            route = methods.get(scope["method"])
            scope["allowed"] = methods
            scope["route"] = route
            scope["path_params"] = dict(zip(route.parameters, values, strict=True)) if route else {}
        found_route: Route | None = scope["route"]
        return found_route

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
            return
        if scope["type"] != "http":
            raise RuntimeError(f"no route speaks {scope['type']}")
        route = self.match(scope)
        if route is None:
            response = self._without_route(scope)
        elif b"%00" in scope["query_string"]:  # no database takes it, and nobody means it
            response = self._refuse(scope, Refusal(400, "bad request", "The query holds a NUL character."))
        else:
            response = await route.endpoint(Request(scope, receive, send))
        await response(scope, receive, _headers_only(send) if scope["method"] == "HEAD" else send)

    def _without_route(self, scope: Scope) -> Response:
        if not scope["allowed"]:
            text = "Nothing is found at this address; see the documentation for those there are."
            return self._refuse(scope, Refusal(404, "not found", text))
        allow = ", ".join(sorted({*scope["allowed"], "OPTIONS"}))
        if scope["method"] == "OPTIONS":
            return Response(status_code=204, headers={"Allow": allow})
        text = f"{scope['method']} is not possible here; {allow} are."
        return self._refuse(scope, Refusal(405, "method not allowed", text, {"Allow": allow}))

    def _add(self, route: Route) -> None:
        node, segments = self._root, route.segments
        takes_rest = segments[-1].startswith("{") and segments[-1].endswith(":path}")
        for part in segments[:-1] if takes_rest else segments:
            if not part.startswith("{"):
                node = node.words.setdefault(part, _Node())
            elif _PARAMETER.fullmatch(part) and not part.endswith(":path}"):
                node.parameter = node = node.parameter or _Node()
            else:
                raise ValueError(f"{route.path}: {part} is no parameter a path can have there")
        table = node.rest if takes_rest else node.routes
        for method in route.methods:
            if method in table and method != "HEAD":
                raise ValueError(f"{method} {route.path} has two endpoints")
            table[method] = route
            if method == "GET":
                table.setdefault("HEAD", route)
        self.routes.append(route)

    def _find(self, segments: Sequence[str], method: str) -> _Found | None:
        """The routes of a path by method, and the values of its parameters.

        A fixed word goes before the parameter beside it, one that knows the method before one that does
        not.  Every node is looked at once at most.
        """
        end = len(segments)
        waiting: list[tuple[_Node, int, tuple[str, ...]]] = [(self._root, 0, ())]
        second_best: _Found | None = None
        while waiting:
            node: _Node | None
            node, at, values = waiting.pop()
            while node is not None:
                found = node.routes if at == end else node.rest
                if found:
                    taken = values if at == end else (*values, "/".join(segments[at:]))
                    if at == end and method in found:
                        return found, taken
                    second_best = second_best or (found, taken)
                if at == end:
                    break
                word = segments[at]
                at += 1
                if node.parameter is not None and word:
                    waiting.append((node.parameter, at, (*values, word)))
                node = node.words.get(word)
        return second_best


def _segments(scope: Scope) -> list[str]:
    """The path's segments, each decoded for itself: an encoded slash belongs to the name it stands in."""
    raw: bytes | None = scope.get("raw_path")
    if raw is None or b"%" not in raw:
        parts: list[str] = scope["path"][1:].split("/")
    else:
        text = raw.partition(b"?")[0].decode("latin-1")
        parts = [unquote(part) for part in text[1:].split("/")]
    return [] if any("\0" in part for part in parts) else parts


def _headers_only(send: Send) -> Send:
    """What HEAD gets: the same headers, no body."""

    async def bare(message: Message) -> None:
        await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

    return bare


def _lifespan(lifespan: Any) -> ASGIApp:
    from starlette.routing import Router as Starlettes

    return Starlettes(lifespan=lifespan).lifespan

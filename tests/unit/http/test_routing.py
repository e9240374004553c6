from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from app.http.routing import Endpoint, Route, Router, under


async def say(request: Request) -> Response:
    return PlainTextResponse(f"{request.scope['route'].path} {request.path_params}")


async def other(request: Request) -> Response:
    return PlainTextResponse("other")


async def ask(router: Router, method: str, path: str) -> httpx2.Response:
    transport = httpx2.ASGITransport(router)
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
        return await client.request(method, path)


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/", "/ {}"),
        ("/runs/run-1", "/runs/{id} {'id': 'run-1'}"),
        ("/runs/queue", "/runs/queue {}"),
        ("/runs/queue/apply", "/runs/{id}/apply {'id': 'queue'}"),  # the fixed word leads nowhere
        ("/o/acme/w/a%2Fb", "/o/{organization}/w/{name} {'organization': 'acme', 'name': 'a/b'}"),
        ("/o/acme/w/caf%C3%A9%20x", "/o/{organization}/w/{name} {'organization': 'acme', 'name': 'café x'}"),
        ("/static/a/b.css", "/static/{file:path} {'file': 'a/b.css'}"),
    ],
)
async def test_a_path_finds_its_route_and_the_values_of_its_parameters(path: str, answer: str) -> None:
    paths = ["/", "/runs/{id}", "/runs/queue", "/runs/{id}/apply", "/o/{organization}/w/{name}"]
    router = Router([Route(p, say) for p in [*paths, "/static/{file:path}"]])

    assert (await ask(router, "GET", path)).text == answer


@pytest.mark.parametrize("path", ["/api/v2/nothing", "/api/v2/runs", "/api/v2/runs/", "/api/v2/runs/a%00b"])
async def test_an_unknown_path_of_the_api_is_a_json_api_404(path: str) -> None:
    response = await ask(Router([Route("/api/v2/runs/{id}", say)]), "GET", path)

    assert response.status_code == 404
    assert response.headers["content-type"] == "application/vnd.api+json"
    [error] = response.json()["errors"]
    assert error["status"] == "404"
    assert error["title"] == "not found"
    assert error["detail"]


async def test_an_unknown_path_elsewhere_is_a_line_of_text() -> None:
    response = await ask(Router([]), "GET", "/nothing")

    assert response.status_code == 404
    assert response.headers["content-type"].startswith("text/plain")


async def test_a_wrong_method_is_told_the_right_ones() -> None:
    router = Router([Route("/api/v2/runs/{id}", say), Route("/api/v2/runs/{id}", say, ["PATCH"])])
    response = await ask(router, "DELETE", "/api/v2/runs/run-1")

    assert response.status_code == 405
    assert response.headers["allow"] == "GET, HEAD, OPTIONS, PATCH"
    assert response.json()["errors"][0]["status"] == "405"


async def test_the_route_that_knows_the_method_wins_over_the_word_that_does_not() -> None:
    router = Router([Route("/runs/queue", other, ["POST"]), Route("/runs/{id}", say)])

    assert (await ask(router, "GET", "/runs/queue")).text.startswith("/runs/{id}")
    assert (await ask(router, "POST", "/runs/queue")).text == "other"


async def test_options_lists_the_methods() -> None:
    response = await ask(Router([Route("/x", say, ["POST"])]), "OPTIONS", "/x")

    assert (response.status_code, response.headers["allow"]) == (204, "OPTIONS, POST")


async def test_head_is_get_without_a_body() -> None:
    response = await ask(Router([Route("/x", say)]), "HEAD", "/x")

    assert response.status_code == 200
    assert int(response.headers["content-length"]) > 0
    assert response.content == b""


async def test_a_nul_in_the_query_reaches_no_endpoint() -> None:
    response = await ask(Router([Route("/api/x", say)]), "GET", "/api/x?search[name]=a%00b")

    assert response.status_code == 400
    assert "NUL" in response.json()["errors"][0]["detail"]


def test_one_path_and_method_cannot_have_two_endpoints() -> None:
    with pytest.raises(ValueError, match="two endpoints"):
        Router([Route("/runs/{id}", say), Route("/runs/{run}", other)])


def test_a_parameter_is_a_whole_segment() -> None:
    with pytest.raises(ValueError, match="no parameter"):
        Router([Route("/runs/{id}.json/{Name}", say)])


def test_the_table_can_be_walked_and_knows_who_answers() -> None:
    router = Router(under("/api/v2", [Route("/runs/{id}", say, ["GET", "PATCH"])]))

    assert [(r.path, tuple(r.methods), r.name, r.parameters) for r in router] == [
        ("/api/v2/runs/{id}", ("GET", "PATCH"), "test_routing.say", ("id",))
    ]


def test_the_words_beside_a_parameter_are_the_names_it_cannot_have() -> None:
    paths = ["/app/{organization}", "/app/settings/tokens", "/app/admin", "/app/{organization}/runs"]
    router = Router([Route(p, say) for p in paths])

    assert router.words_beside("/app/{organization}") == {"settings", "admin"}
    assert router.words_beside("/app/{organization}/{workspace}") == {"runs"}
    assert router.words_beside("/elsewhere/{x}/{y}") == set()


async def test_a_group_of_routes_is_wrapped_and_keeps_its_pattern() -> None:
    def louder(endpoint: Endpoint) -> Endpoint:
        async def loud(request: Request) -> Response:
            response = await endpoint(request)
            response.headers["x-loud"] = "yes"
            return response

        return loud

    response = await ask(Router(under("/api", [Route("/x", say)], around=louder)), "GET", "/api/x")

    assert (response.text, response.headers["x-loud"]) == ("/api/x {}", "yes")


async def test_the_lifespan_is_starlettes() -> None:
    seen: list[str] = []

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[dict[str, int]]:
        seen.append("up")
        yield {"answer": 42}
        seen.append("down")

    inbox = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]

    async def receive() -> Any:
        return inbox.pop(0)

    async def send(message: Any) -> None:
        seen.append(message["type"])

    state: dict[str, int] = {}
    await Router([], lifespan=lifespan)({"type": "lifespan", "app": None, "state": state}, receive, send)

    assert seen == ["up", "lifespan.startup.complete", "down", "lifespan.shutdown.complete"]
    assert state == {"answer": 42}

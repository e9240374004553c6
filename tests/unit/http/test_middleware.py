from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest
import structlog
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.types import ASGIApp, Message

from app.http.limits import Limits
from app.http.middleware import stack
from app.http.routing import Route, Router
from app.settings import Settings

SECRET_PATH = "/v1/object/log.plan-1.99.signature"


async def read(request: Request) -> Response:
    return PlainTextResponse(str(len(await request.body())))


async def fail(request: Request) -> Response:
    raise KeyError("no such thing")


async def fail_late(request: Request) -> Response:
    async def body() -> AsyncIterator[bytes]:
        yield b"half"
        raise KeyError("no such thing")

    return StreamingResponse(body())


async def by_somebody(request: Request) -> Response:
    request.state.actor = SimpleNamespace(id="user-1", token="secret")
    return PlainTextResponse("hello")


def application(rate: int = 100, **more: Any) -> ASGIApp:
    routes = [
        Route("/api/v2/read", read, ["POST"]),
        Route("/api/v2/workspaces/{id}/state-versions", read, ["POST"], body="inline_state"),
        Route("/api/v2/upload", read, ["PUT"], body=None),
        Route("/api/v2/fail", fail),
        Route("/fail", fail),
        Route("/late", fail_late),
        Route("/v1/object/{token}", by_somebody),
    ]
    return stack(Router(routes), Limits.of(Settings(data_dir=Path("/nowhere"))), rate=rate, **more)


async def ask(app: ASGIApp, method: str, path: str, **more: Any) -> httpx2.Response:
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
        return await client.request(method, path, **more)


@pytest.fixture
def lines() -> Iterator[list[Any]]:
    with structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars]) as captured:
        yield captured


@pytest.mark.parametrize(
    ("method", "path"), [("GET", SECRET_PATH), ("GET", "/api/v2/fail"), ("GET", "/none"), ("PUT", "/fail")]
)
async def test_every_response_carries_what_terraform_looks_for(method: str, path: str) -> None:
    headers = (await ask(application(), method, path)).headers

    assert headers["TFP-API-Version"] == "2.6"
    assert headers["TFP-AppName"] == "Terraform Enterprise"
    assert headers["X-TFE-Version"] == "v202501-1"
    assert headers["X-RateLimit-Limit"] == "100"
    assert headers["X-Request-Id"]


@pytest.mark.parametrize(("rate", "announced"), [(1, "30"), (29, "30"), (500, "500"), (0, None)])
async def test_t06_no_announced_rate_makes_the_cli_fail(rate: int, announced: str | None) -> None:
    response = await ask(application(rate), "GET", SECRET_PATH)

    assert response.headers.get("X-RateLimit-Limit") == announced
    assert "X-RateLimit-Reset" not in response.headers


async def test_the_access_log_names_the_route_and_never_the_path(lines: list[Any]) -> None:
    response = await ask(application(), "GET", SECRET_PATH + "?offset=77")

    [line] = lines
    assert line["route"] == "/v1/object/{token}"
    assert (line["method"], line["status"], line["actor"]) == ("GET", 200, "user-1")
    assert line["request_id"] == response.headers["X-Request-Id"]
    assert line["ms"] >= 0
    assert "signature" not in str(line)
    assert "77" not in str({**line, "ms": 0, "request_id": ""})
    assert "secret" not in str(line)


async def test_an_unknown_path_is_not_logged_either(lines: list[Any]) -> None:
    await ask(application(), "GET", "/v1/objects/signature")

    assert [(line["route"], line["status"]) for line in lines] == [("(no such path)", 404)]


async def test_who_counts_requests_hears_the_pattern() -> None:
    heard: list[Any] = []
    await ask(application(observe=lambda *what: heard.append(what[:3])), "GET", SECRET_PATH)

    assert heard == [("/v1/object/{token}", "GET", 200)]


async def test_a_bug_is_a_500_whose_reference_is_in_the_log(lines: list[Any]) -> None:
    response = await ask(application(), "GET", "/api/v2/fail")

    assert response.status_code == 500
    [error] = response.json()["errors"]
    bug, request = lines
    assert bug["log_level"] == "error"
    assert bug["exc_info"]
    assert bug["reference"] == response.headers["X-Request-Id"]
    assert bug["reference"] in error["detail"]
    assert "no such thing" not in response.text
    assert request["status"] == 500


async def test_outside_the_api_a_bug_is_a_plain_page() -> None:
    response = await ask(application(), "GET", "/fail")

    assert response.status_code == 500
    assert response.headers["content-type"].startswith("text/plain")
    assert response.headers["X-Request-Id"] in response.text


async def test_an_answer_that_breaks_off_is_logged_and_not_finished(lines: list[Any]) -> None:
    sent = await exchange(application(), "GET", "/late", [])

    assert [m["type"] for m in sent] == ["http.response.start", "http.response.body"]
    assert sent[-1]["more_body"] is True
    assert lines[0]["event"] == "a bug"


async def test_a_client_that_goes_away_is_no_bug(lines: list[Any]) -> None:
    sent = await exchange(application(), "POST", "/api/v2/read", [{"type": "http.disconnect"}])

    assert sent == []
    assert [(line["log_level"], line.get("status")) for line in lines] == [("debug", None), ("info", 499)]


@pytest.mark.parametrize(
    ("path", "length", "named"),
    [
        ("/api/v2/read", 2 * 1024**2, "2 MiB"),
        ("/api/v2/workspaces/ws-1/state-versions", 32 * 1024**2, "32 MiB"),
        ("/api/v2/no-such-path", 2 * 1024**2, "2 MiB"),
    ],
)
async def test_a_body_over_its_limit_is_413_and_names_it(path: str, length: int, named: str) -> None:
    response = await ask(application(), "POST", path, content=b"x" * (length + 1))

    assert response.status_code == 413
    [error] = response.json()["errors"]
    assert error["status"] == "413"
    assert named in error["detail"]
    assert "STATEROOM_MAX_" in error["detail"]


@pytest.mark.parametrize(
    ("path", "length"),
    [("/api/v2/read", 2 * 1024**2), ("/api/v2/workspaces/ws-1/state-versions", 32 * 1024**2)],
)
async def test_a_body_at_its_limit_passes(path: str, length: int) -> None:
    assert (await ask(application(), "POST", path, content=b"x" * length)).text == str(length)


async def test_a_body_of_unknown_length_is_cut_off_while_it_comes() -> None:
    taken = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal taken
        for _ in range(50):
            taken += 1
            yield b"x" * 1024**2

    response = await ask(application(), "POST", "/api/v2/read", content=chunks())

    assert response.status_code == 413
    assert taken == 3


async def test_a_route_that_reads_its_body_itself_is_left_alone() -> None:
    response = await ask(application(), "PUT", "/api/v2/upload", content=b"x" * (3 * 1024**2))

    assert response.text == str(3 * 1024**2)


async def exchange(app: ASGIApp, method: str, path: str, inbox: list[Message]) -> list[Message]:
    """Speak plain ASGI with *app*."""
    sent: list[Message] = []

    async def receive() -> Message:
        if inbox:
            return inbox.pop(0)
        await asyncio.sleep(3600)
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [],
        "state": {},
    }
    await app(scope, receive, send)
    return sent


@pytest.mark.parametrize(
    ("id", "run"),
    [
        ("run-abcdefgh12345678", "run-abcdefgh12345678"),
        ("plan-abcdefgh12345678", "run-abcdefgh12345678"),
        ("apply-abcdefgh12345678", "run-abcdefgh12345678"),
        ("ws-abcdefgh12345678", None),
        ("run-not.a.run:secret", None),
    ],
)
async def test_a_request_about_a_run_names_it(lines: list[Any], id: str, run: str | None) -> None:
    await ask(application(), "POST", f"/api/v2/workspaces/{id}/state-versions")

    assert [line.get("run") for line in lines] == [run]

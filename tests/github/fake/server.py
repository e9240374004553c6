"""The fake as an HTTP server on two ports of the loopback interface: the API with git, and the archives beside it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import secrets as random
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import format_datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import uvicorn
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tests.github import openapi
from tests.github.fake import access, app_calls, manifest_pages, repository_calls
from tests.github.fake.access import Said
from tests.github.fake.calls import ANYBODY, APP, HANDLERS, USER, Answering, Call, Reply
from tests.github.fake.limits import Limits, Refusal
from tests.github.fake.world import Asked, GitHub, Repository

BASE = "/api/v3"
VERSIONS = ("2022-11-28", "2026-03-10")
START_WITHIN = 20.0

#: Their handlers are registered when they are imported.
REGISTERED = (app_calls, repository_calls)


@contextmanager
def serving() -> Iterator[GitHub]:
    """A GitHub that answers until the end, in a thread of its own.  Fails at the end if somebody broke GitHub's
    description of its API; a test that means to clears `violations`."""
    with tempfile.TemporaryDirectory(prefix="stateroom-tests-github-") as directory:
        github = GitHub(Path(directory))
        servers = [Server(api(github)), Server(codeload(github))]
        github.url, github.codeload_url = (f"http://localhost:{server.port}" for server in servers)
        try:
            yield github
        finally:
            for server in servers:
                server.stop()
    assert not github.violations, "\n".join(github.violations)


class Server:
    """An ASGI application on a port of the loopback interface, in a thread of its own."""

    def __init__(self, app: Any) -> None:
        config = uvicorn.Config(
            app, host="127.0.0.1", port=0, log_config=None, log_level="critical", lifespan="off", date_header=False,
            timeout_graceful_shutdown=1,
        )  # fmt: skip
        self._server = uvicorn.Server(config)
        self._server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
        socket = config.bind_socket()
        socket.listen(1024)  # whoever comes before the thread has begun waits
        self.port = socket.getsockname()[1]
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [socket]}, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(START_WITHIN)


# -- the REST API --------------------------------------------------------------------------------------------------


def api(github: GitHub) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        request = Request(scope, receive)
        path = scope["raw_path"].decode()
        if path.startswith(f"{BASE}/"):
            await _rest(github, request, path.removeprefix(BASE), send)
        elif path == "/login/oauth/access_token":
            await (await _exchange(github, request))(scope, receive, send)
        elif ".git/" in path:
            await (await _git(github, request))(scope, receive, send)
        elif request.method == "POST" and manifest_pages.is_one(path):
            await (await manifest_pages.answer(github, request))(scope, receive, send)
        else:
            await Response("a page of GitHub's", 404)(scope, receive, send)

    return app


async def _rest(github: GitHub, request: Request, path: str, send: Any) -> None:
    raw = await request.body()
    query = dict(parse_qsl(request.scope["query_string"].decode(), keep_blank_values=True))
    asked = Asked(request.method, path, query, json.loads(raw) if raw else None)
    asked.authorization = request.headers.get("authorization", "")
    github.requests.append(asked)
    fault = next((one.kind for one in github.faults if one.strikes(request.method, path)), None)
    reply = Reply(0)
    if fault not in ("nothing", "silent"):
        reply = _faulty(fault) or _answered(github, request, asked, raw)
    asked.status = reply.status
    if fault == "silent":
        while (await request.receive())["type"] != "http.disconnect":
            pass
        return
    body = b"" if reply.body is None else json.dumps(reply.body).encode()
    if fault == "broken":
        body = b"<html>Unicorn!</html>"
    headers = {
        "date": format_datetime(github.now(), usegmt=True),
        "content-type": "application/json; charset=utf-8",
        "x-github-enterprise-version": "3.19.0",
        **reply.headers,
        "content-length": str(len(body) if fault not in ("nothing", "lost") else 1000),
    }
    if reply.status == 204:
        del headers["content-length"]
    if fault in ("nothing", "lost", "half"):
        body = body[: len(body) // 2] if fault == "half" else b""
        reply.status = reply.status or 200
    start = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": reply.status, "headers": start})
    await send({"type": "http.response.body", "body": body, "more_body": fault in ("nothing", "lost", "half")})
    if fault in ("nothing", "lost", "half"):
        raise ConnectionAbortedError  # which lets uvicorn end the connection in the middle of the body


def _faulty(fault: int | str | None) -> Reply | None:
    """The answer of a fault that needs nobody's work."""
    if isinstance(fault, int):
        messages = {401: "Bad credentials", 404: "Not Found", 403: "Resource not accessible by integration"}
        return Reply(fault, Said(fault, messages.get(fault, "It went wrong")).body)
    if fault == "primary":
        limits = Limits(per_hour=100, used=100)
        limits.reset -= 1800
        return Reply(403, Said(403, "API rate limit exceeded for installation ID.").body, limits.headers())
    if isinstance(fault, str) and fault.startswith("secondary"):
        limits = Limits(form=fault.removeprefix("secondary").removeprefix("-") or "retry-after")
        refusal = limits.secondary()
        return Reply(
            refusal.status, Said(refusal.status, refusal.message).body, {**limits.headers(), **refusal.headers}
        )
    return None


def _answered(github: GitHub, request: Request, asked: Asked, raw: bytes) -> Reply:
    try:
        asked.operation = openapi.check_request(asked.method, asked.path, asked.query, raw)
        _, params = openapi.matched(asked.method, asked.path)
    except openapi.Violation as violation:
        github.violations.append(str(violation))
        return Reply(404, Said(404, "Not Found").body)
    call = Call(github, asked.operation, asked.path, params, asked.query, asked.body)
    reply = _judged(call, request, asked)
    try:
        openapi.check_answer(
            asked.operation, reply.status, b"" if reply.body is None else json.dumps(reply.body).encode()
        )
    except openapi.Violation as violation:
        github.violations.append(str(violation))
    return reply


def _judged(call: Call, request: Request, asked: Asked) -> Reply:
    try:
        if request.headers.get("x-github-api-version") not in VERSIONS:
            raise Said(400, "The API version that was asked for is not supported.")
        if not request.headers.get("user-agent"):
            raise Said(403, "Request forbidden by administrative rules.")
        answering = HANDLERS[asked.operation]
        limits = _known(call, answering, asked.authorization)
        if limits is None:
            return answering.handler(call)
        refusal = limits.take(asked.method, asked.path)
        if refusal is not None:
            return _refused(refusal, limits)
        return _permitted(call, answering, limits)
    except Said as said:
        return Reply(said.status, said.body)


def _permitted(call: Call, answering: Answering, limits: Limits) -> Reply:
    try:
        if moved := _find_repository(call, answering):
            return moved
        reply = answering.handler(call)
    except Said as said:
        reply = Reply(said.status, said.body)
    reply.headers |= limits.headers()
    return reply


def _known(call: Call, answering: Answering, authorization: str) -> Limits | None:
    """Who calls, as the operation wants it; the limits that the call counts against."""
    if answering.needs == ANYBODY:
        return None
    if answering.needs == APP:
        call.app = access.app_of(call.github, authorization)
        return call.app.limits
    if answering.needs == USER:
        call.user = call.github.user_tokens.get(authorization.partition(" ")[2])
        if call.user is None:
            raise Said(401, "Bad credentials")
        return None
    call.token = access.token_of(call.github, authorization)
    return call.token.installation.limits


def _find_repository(call: Call, answering: Answering) -> Reply | None:
    if "repo" not in call.params:
        return None
    github, token = call.github, call.token
    assert token is not None
    if call.path.startswith("/repositories/"):
        call.repository = github.repositories.get(int(call.path.split("/")[2]))
    else:
        name = f"{call.params['owner']}/{call.params['repo']}"
        call.repository = github.find_repository(name)
        before = github.renamed_repository(name) if call.repository is None else None
        if before is not None and _is_seen(call, token, before):
            rest = call.path.split("/", 4)[4:]
            address = "/".join([f"{github.url}{BASE}/repositories/{before.number}", *rest])
            told = {"message": "Moved Permanently", "url": address, "documentation_url": "https://docs.github.com"}
            return Reply(301 if call.operation.startswith("GET") else 307, told, {"location": address})
    if call.repository is None or not _is_seen(call, token, call.repository):
        raise Said(404, "Not Found")
    if answering.permission is not None and not token.may(*answering.permission):
        raise Said(403, "Resource not accessible by integration")
    return None


def _is_seen(call: Call, token: access.Token, repository: Repository) -> bool:
    """Whoever may read anything reads what is public."""
    return token.sees(repository.number) or (call.operation.startswith("GET") and not repository.private)


def _refused(refusal: Refusal, limits: Limits) -> Reply:
    return Reply(refusal.status, Said(refusal.status, refusal.message).body, {**limits.headers(), **refusal.headers})


async def _exchange(github: GitHub, request: Request) -> Response:
    """A code for a user's token.  GitHub answers 200 to all who ask."""
    asked = Asked(
        request.method, request.url.path, dict(request.query_params), await request.json(), operation="exchange"
    )
    github.requests.append(asked)
    if asked.method != "POST" or asked.query or request.headers.get("accept") != "application/json":
        github.violations.append("a code was exchanged in another way than by a POST that asks for JSON")
    if fault := next((one.kind for one in github.faults if one.strikes("POST", asked.path)), None):
        return Response("", int(fault))
    told = asked.body
    found = github.codes.pop(told.get("code", ""), None)
    digest = hashlib.sha256(told.get("code_verifier", "").encode()).digest()
    if found is None or base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != found.challenge:
        return _no_token("bad_verification_code", "The code passed is incorrect or expired.")
    if (told.get("client_id"), told.get("client_secret")) != (found.app.client_id, found.app.client_secret):
        return _no_token("incorrect_client_credentials", "The client_id and/or client_secret passed are incorrect.")
    if told.get("redirect_uri") != found.redirect_uri:
        return _no_token("redirect_uri_mismatch", "The redirect_uri MUST match the registered callback URL.")
    token = f"ghu_{random.token_hex(18)}"
    github.user_tokens[token] = found
    return JSONResponse({"access_token": token, "token_type": "bearer", "scope": "", "expires_in": 28800})


def _no_token(error: str, description: str) -> Response:
    return JSONResponse({"error": error, "error_description": description, "error_uri": "https://docs.github.com"})


# -- archives and git ----------------------------------------------------------------------------------------------


def codeload(github: GitHub) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        request = Request(scope, receive)
        await _archive(github, request)(scope, receive, send)

    return app


def _archive(github: GitHub, request: Request) -> Response:
    """Who has the ticket gets it, and shows no other credential."""
    asked = Asked(request.method, request.url.path, {}, None, operation="codeload")
    asked.authorization = request.headers.get("authorization", "")
    github.requests.append(asked)
    if asked.authorization:
        github.violations.append("an Authorization was sent to the host of the archives")
    found = github.downloads.pop(request.query_params.get("token", ""), None)
    fault = next((one.kind for one in github.faults if one.strikes("GET", f"codeload{request.url.path}")), None)
    if isinstance(fault, int):
        return Response("", fault)
    if found is None or found[2] < github.now():
        return Response("404: Not Found", 404)
    repository, sha, _ = found
    content = repository.git.archive(sha, f"{repository.owner.login}-{repository.name}-{sha[:7]}")
    if fault == "half":
        return Response(content[: len(content) // 2], headers={"content-length": str(len(content))})
    return Response(content, media_type="application/x-gzip")


async def _git(github: GitHub, request: Request) -> Response:
    """Fetches only, by git's own program."""
    name, _, rest = request.url.path.lstrip("/").partition(".git/")
    asked = Asked(request.method, request.url.path, {}, None, operation="git")
    asked.authorization = request.headers.get("authorization", "")
    github.requests.append(asked)
    unknown = Response("Unknown", 401, headers={"www-authenticate": 'Basic realm="GitHub"'})
    try:
        user, _, password = base64.b64decode(asked.authorization.partition(" ")[2]).decode().partition(":")
        token = access.token_of(github, f"token {password}")
    except (Said, ValueError):
        return unknown
    repository = github.find_repository(name)
    if user != "x-access-token" or repository is None or not token.sees(repository.number):
        return Response("Repository not found.", 404)
    if not token.may("contents", "read"):
        return Response("Write access to repository not granted.", 403)
    environment = {
        "PATH": os.environ["PATH"],
        "GIT_PROJECT_ROOT": str(repository.git.path),
        "GIT_HTTP_EXPORT_ALL": "1",
        "PATH_INFO": f"/{rest}",
        "REQUEST_METHOD": request.method,
        "QUERY_STRING": request.scope["query_string"].decode(),
        "CONTENT_TYPE": request.headers.get("content-type", ""),
        "HTTP_CONTENT_ENCODING": request.headers.get("content-encoding", ""),
        "GIT_PROTOCOL": request.headers.get("git-protocol", ""),
        "REMOTE_USER": user,
    }
    body = await request.body()
    done = await asyncio.to_thread(
        subprocess.run, ["git", "http-backend"], env=environment, input=body, stdout=subprocess.PIPE, check=True
    )
    head, _, body = done.stdout.partition(b"\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line)
    status = int(headers.pop("Status", "200").split()[0])
    return Response(body, status, headers=headers)

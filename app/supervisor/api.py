"""The few calls a supervisor makes to Stateroom's API, with its run's token."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from typing import Any

from app.supervisor.statefile import State
from app.supervisor.upstream import Upstream

SECONDS = 60.0
_JSON = "application/vnd.api+json"
_LONGEST_DOCUMENT = 16 * 1024 * 1024


class Away(Exception):
    """The API cannot be reached, or says that it cannot answer now.  Worth another try."""


class Faulty(Away):
    """The API met an error of its own.  Worth a few tries, but it is there, and may say the same for ever."""


class TokenRefused(Exception):
    """The run's token is no longer good: the run was ended, or given up."""


class Declined(Exception):
    """The API will not do this, however often it is asked."""


@dataclass(frozen=True)
class StateVersion:
    id: str
    download: str


class Api:
    """One connection, kept open; for one thread."""

    def __init__(self, upstream: Upstream, token: str) -> None:
        self._upstream, self._token = upstream, token
        self._connection: http.client.HTTPConnection | None = None

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def sign_of_life(self, workspace: str) -> None:
        """Any use of the token is one; it also shows whether the token still counts."""
        self._call("GET", f"/api/v2/workspaces/{workspace}")

    def current_state(self, workspace: str) -> StateVersion | None:
        try:
            document = self._document("GET", f"/api/v2/workspaces/{workspace}/current-state-version")
        except Missing:
            return None
        version = document["data"]
        return StateVersion(version["id"], version["attributes"]["hosted-state-download-url"])

    def download(self, version: StateVersion, *, limit: int) -> bytes:
        return self._call("GET", self._upstream.target(version.download), limit=limit)

    def save(self, workspace: str, state: State, *, intermediate: bool) -> str:
        """Make *state* a version; returns its id.  The same state may be saved twice."""
        attributes = {
            "serial": state.serial,
            "lineage": state.lineage,
            "md5": state.md5,
            "intermediate": intermediate,
            "force": False,
        }
        body = json.dumps({"data": {"type": "state-versions", "attributes": attributes}}).encode()
        path = f"/api/v2/workspaces/{workspace}/state-versions"
        version = self._document("POST", path, body)["data"]
        if upload := version["attributes"].get("hosted-state-upload-url"):
            self._call("PUT", self._upstream.target(upload), state.data, signed=True)
        return str(version["id"])

    def _document(self, method: str, path: str, body: bytes | None = None) -> Any:
        try:
            return json.loads(self._call(method, path, body))
        except ValueError:
            raise Away(f"{method} {path} was answered with something that is not JSON.") from None

    def _call(
        self,
        method: str,
        target: str,
        body: bytes | None = None,
        *,
        signed: bool = False,
        limit: int = _LONGEST_DOCUMENT,
    ) -> bytes:
        """The body of a good answer.  A *signed* target is its own permission, and no name for a message."""
        headers = {"Host": self._upstream.authority, "Accept": _JSON, "User-Agent": "stateroom-supervisor"}
        if body is not None:
            headers["Content-Type"] = "application/octet-stream" if signed else _JSON
        if not signed:
            headers["Authorization"] = f"Bearer {self._token}"
        try:
            answer = self._ask(method, target, body, headers)
            data = answer.read(limit + 1)
            if answer.length:
                self.close()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise Away(f"Stateroom cannot be reached: {error}") from error
        _judge(answer.status, data, "a signed link" if signed else f"{method} {target}")
        if len(data) > limit:
            raise Declined(f"What Stateroom answered is longer than {limit} bytes.")
        if answer.length:
            raise Away("The connection ended in the middle of an answer.")
        return data

    def _ask(self, method: str, target: str, body: bytes | None, headers: dict[str, str]) -> http.client.HTTPResponse:
        """A kept connection that the server has closed meanwhile is replaced."""
        if self._connection is not None:
            try:
                self._connection.request(method, target, body, headers)
                return self._connection.getresponse()
            except (OSError, http.client.HTTPException):
                self.close()
        self._connection = self._connect()
        self._connection.request(method, target, body, headers)
        return self._connection.getresponse()

    def _connect(self) -> http.client.HTTPConnection:
        host, port, context = self._upstream.host, self._upstream.port, self._upstream.context
        if context is None:
            return http.client.HTTPConnection(host, port, timeout=SECONDS)
        return http.client.HTTPSConnection(host, port, timeout=SECONDS, context=context)


class Missing(Declined):
    """There is no such thing."""


def _judge(status: int, body: bytes, call: str) -> None:
    """Raise what an answer means for us, unless it is a good one."""
    if status < 300:
        return
    said = _sentence(body)
    if status in (401, 403):
        raise TokenRefused(f"Stateroom refused the run's token: {said}")
    if status == 404:
        raise Missing(f"{call}: {said}")
    if status >= 500 and status not in (502, 503, 504):
        raise Faulty(f"Stateroom answered {status}: {said}")
    if status in (408, 425, 429) or status >= 500:
        raise Away(f"Stateroom answered {status}: {said}")
    raise Declined(f"Stateroom answered {status}: {said}")


def _sentence(body: bytes) -> str:
    try:
        errors = json.loads(body)["errors"]
        return "; ".join(str(error.get("detail") or error.get("title")) for error in errors)
    except (ValueError, KeyError, TypeError, AttributeError):
        return body[:200].decode(errors="replace").strip() or "it gave no reason"

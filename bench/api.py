"""The server's API, as a program that drives it sees it."""

from __future__ import annotations

import io
import ssl
import tarfile
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import httpx2

from bench.servers import Server

FINAL = {"applied", "planned_and_finished", "discarded", "errored", "canceled", "force_canceled"}
SUCCEEDED = {"applied", "planned_and_finished"}


class RunFailed(Exception):
    """A run that should have succeeded ended otherwise; carries the end of its log."""


class Api:
    """A connection to one server's API with the token of its first administrator."""

    def __init__(self, server: Server, organization: str = "main") -> None:
        self.organization = organization
        tls = ssl.create_default_context(cafile=str(server.ca_bundle)) if server.url.startswith("https") else False
        self._http = httpx2.Client(
            base_url=f"{server.url}/api/v2/",
            verify=tls,
            headers={"Authorization": f"Bearer {server.token}", "Content-Type": "application/vnd.api+json"},
            timeout=60,
        )
        #: For signed URLs, which are secrets of their own and get no token.
        self.signed = httpx2.Client(verify=tls, timeout=300)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()
        self.signed.close()

    def get(self, path: str) -> dict[str, Any]:
        return self._data(self._http.get(path))

    def post(self, path: str, kind: str, attributes: Mapping[str, Any], **relations: tuple[str, str]) -> dict[str, Any]:
        """Create a *kind* at *path*; a relation is a type and an id, its name written with underscores."""
        related = {
            name.replace("_", "-"): {"data": {"type": type_, "id": id_}} for name, (type_, id_) in relations.items()
        }
        body = {"data": {"type": kind, "attributes": dict(attributes), "relationships": related}}
        return self._data(self._http.post(path, json=body))

    def act(self, path: str) -> None:
        """Speak an action that needs no words."""
        self._http.post(path, json={}).raise_for_status()

    def workspace(self, name: str) -> str:
        """A new workspace's id."""
        path = f"organizations/{self.organization}/workspaces"
        created: str = self.post(path, "workspaces", {"name": name})["id"]
        return created

    def configuration(self, workspace: str, files: Mapping[str, str], *, speculative: bool) -> str:
        """Upload *files* as a new configuration version; its id, once it can be used."""
        attributes = {"auto-queue-runs": False, "speculative": speculative}
        path = f"workspaces/{workspace}/configuration-versions"
        version = self.post(path, "configuration-versions", attributes)
        content, kind = archive(files), {"Content-Type": "application/octet-stream"}
        self.signed.put(version["attributes"]["upload-url"], content=content, headers=kind).raise_for_status()
        name: str = version["id"]
        while self.get(f"configuration-versions/{name}")["attributes"]["status"] != "uploaded":
            time.sleep(0.05)
        return name

    def run(self, workspace: str, configuration: str, **attributes: Any) -> dict[str, Any]:
        """Create a run of *configuration*."""
        given = {name.replace("_", "-"): value for name, value in attributes.items()}
        version = ("configuration-versions", configuration)
        return self.post("runs", "runs", given, workspace=("workspaces", workspace), configuration_version=version)

    def warm_up(self, workspace: str, configuration: str, limit: float = 30) -> None:
        """One run that does not count.  A server that just started may not know its worker yet: ask again."""
        until = time.monotonic() + limit
        while True:
            try:
                run = self.run(workspace, configuration)
                break
            except RunFailed as error:
                if "No worker" not in str(error) or time.monotonic() > until:
                    raise
                time.sleep(0.2)
        self.finish(run["id"])

    def end(self, run: str, limit: float = 120, every: float = 0.1) -> str:
        """Wait until *run* has ended in whatever way; its status."""
        until = time.monotonic() + limit
        while (status := self.get(f"runs/{run}")["attributes"]["status"]) not in FINAL:
            if time.monotonic() > until:
                raise RunFailed(f"{run} was still {status} after {limit:.0f} s:\n{self._last_words(run)}")
            time.sleep(every)
        return str(status)

    def finish(self, run: str, limit: float = 120, every: float = 0.1) -> str:
        """Wait until *run* has succeeded; its status.  A failed run raises with what its log said last."""
        status = self.end(run, limit, every)
        if status not in SUCCEEDED:
            raise RunFailed(f"{run} ended {status}:\n{self._last_words(run)}")
        return status

    def log_url(self, run: Mapping[str, Any], phase: str) -> str:
        """Where the log of a run's `plan` or `apply` is read."""
        collection = {"plan": "plans", "apply": "applies"}[phase]
        name = run["relationships"][phase]["data"]["id"]
        url: str = self.get(f"{collection}/{name}")["attributes"]["log-read-url"]
        return url

    def _last_words(self, run: str) -> str:
        url = self.log_url(self.get(f"runs/{run}"), "plan")
        return self.signed.get(url, params={"limit": 65536, "offset": 0}).text[-1500:]

    @staticmethod
    def _data(response: httpx2.Response) -> dict[str, Any]:
        if response.is_error:
            raise RunFailed(
                f"{response.request.method} {response.url.path}: {response.status_code} {response.text[:500]}"
            )
        data: dict[str, Any] = response.json()["data"]
        return data


def archive(files: Mapping[str, str]) -> bytes:
    """The gzip tar that a CLI would upload."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text.encode())
            tar.addfile(entry, io.BytesIO(text.encode()))
    return packed.getvalue()

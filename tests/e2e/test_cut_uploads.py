"""A client gone, the web or the database killed while a state and an archive are on their way.

Nothing half is ever served, and the same addresses take both afterwards.
"""

from __future__ import annotations

import http.client
import json
import os
import secrets
import signal
import ssl
from collections.abc import Callable, Iterator
from hashlib import md5
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest

from tests.e2e.site import Site
from tests.e2e.up import LONG, Up, eventually
from tests.factories import archive
from tests.migrated import migrated
from tests.services.postgresql import PostgreSQL

LENGTH = 4 * 1024 * 1024


class Upload:
    """A PUT of which half has gone out."""

    def __init__(self, site: Site, url: str, content: bytes) -> None:
        self.site, self.url, self.content = site, url, content
        parts = urlsplit(url)
        trusted = ssl.create_default_context(cafile=str(site.up.data / "ca.pem"))
        self._connection = http.client.HTTPSConnection(parts.netloc, timeout=LONG, context=trusted)
        self._connection.putrequest("PUT", parts.path)
        self._connection.putheader("content-length", str(len(content)))
        self._connection.endheaders(content[: len(content) // 2])

    def hang_up(self) -> None:
        self._connection.close()

    def rest(self) -> int:
        """Send the other half; what is answered."""
        try:
            self._connection.send(self.content[len(self.content) // 2 :])
            return self._connection.getresponse().status
        finally:
            self._connection.close()

    def again(self) -> int:
        return self.site.http.put(self.url, content=self.content).status_code


class Halves:
    """A locked workspace, with a state and an archive on their way to it."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.workspace = site.make_workspace(f"cut-{secrets.token_hex(4)}")
        site.call("POST", f"/workspaces/{self.workspace}/actions/lock")
        self.state = json.dumps(
            {"version": 4, "serial": 1, "lineage": "l", "x": secrets.token_hex(LENGTH // 2)}
        ).encode()
        sent = {"serial": 1, "lineage": "l", "md5": md5(self.state).hexdigest()}
        path = f"/workspaces/{self.workspace}/state-versions"
        self.version = site.call("POST", path, {"type": "state-versions", "attributes": sent})
        path = f"/workspaces/{self.workspace}/configuration-versions"
        sent = {"type": "configuration-versions", "attributes": {"auto-queue-runs": False}}
        self.configuration = site.call("POST", path, sent)
        self.uploads = [
            Upload(site, self.version["attributes"]["hosted-state-upload-url"], self.state),
            Upload(
                site,
                self.configuration["attributes"]["upload-url"],
                archive({"main.tf": "", "long": secrets.token_bytes(LENGTH)}),
            ),
        ]
        assert eventually(lambda: len(self.unfinished()) == 2), site.up.said()

    def unfinished(self) -> list[Path]:
        """What the object store has of them: both have begun."""
        return [path for path in (self.site.up.data / "objects").glob("*/*/.*") if path.stat().st_size > 0]

    def statuses(self) -> list[str]:
        found = [
            self.site.call("GET", f"/state-versions/{self.version['id']}"),
            self.site.call("GET", f"/configuration-versions/{self.configuration['id']}"),
        ]
        return [one["attributes"]["status"] for one in found]

    def nothing_is_served(self) -> None:
        assert self.statuses() == ["pending", "pending"]
        headers = {"authorization": f"Bearer {self.site.token}"}
        for path in (
            f"/workspaces/{self.workspace}/current-state-version",
            f"/configuration-versions/{self.configuration['id']}/download",
        ):
            assert self.site.http.get("/api/v2" + path, headers=headers).status_code == 404

    def both_arrive(self) -> None:
        for upload in self.uploads * 2:  # and once more, as who heard no answer does
            assert upload.again() == 200, self.site.up.said()[-4000:]
        assert self.statuses() == ["finalized", "uploaded"]
        current = self.site.call("GET", f"/workspaces/{self.workspace}/current-state-version")
        headers = {"authorization": f"Bearer {self.site.token}"}
        got = self.site.http.get(current["attributes"]["hosted-state-download-url"], headers=headers)
        assert (current["id"], got.content) == (self.version["id"], self.state)
        self.site.call("POST", f"/workspaces/{self.workspace}/actions/unlock")


def is_up(site: Site) -> bool:
    try:
        return site.http.get("/health").status_code == 200
    except httpx2.TransportError:
        return False


def test_a_client_that_hangs_up_leaves_nothing_and_may_send_both_again(server: Up) -> None:
    halves = Halves(Site(server))
    for upload in halves.uploads:
        upload.hang_up()
    assert eventually(lambda: halves.unfinished() == []), server.said()[-4000:]
    halves.nothing_is_served()
    halves.both_arrive()


def test_a_web_killed_in_the_middle_takes_both_afterwards(start: Callable[..., Up]) -> None:
    site = Site(start())
    halves = Halves(site)
    web = site.up.children()["web"]
    os.kill(web, signal.SIGKILL)
    assert eventually(lambda: site.up.children().get("web", web) != web and is_up(site)), site.up.said()
    for upload in halves.uploads:
        with pytest.raises((OSError, http.client.HTTPException)):
            upload.rest()
    halves.nothing_is_served()
    halves.both_arrive()


@pytest.fixture
def database() -> Iterator[PostgreSQL]:
    """A server of this test's own: it is killed."""
    database = PostgreSQL(synchronous_commit="on")
    yield database
    database.stop()


def test_a_database_killed_in_the_middle_loses_neither(start: Callable[..., Up], database: PostgreSQL) -> None:
    site = Site(start(STATEROOM_DATABASE_URL=database.copy(migrated, "migrated")))
    halves = Halves(site)
    database.crash()
    for upload in halves.uploads:
        assert upload.rest() in (200, 503), site.up.said()[-4000:]
    assert eventually(lambda: is_up(site)), site.up.said()
    halves.both_arrive()

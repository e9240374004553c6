"""A server under measurement that a GitHub of the tests delivers to."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from app import clock
from app.cli import opening
from app.secret import Secret
from app.vcs.models import Connection, Installation
from app.workspaces.models import Workspace
from bench.servers import Server
from github_app import signatures
from tests.github import connected
from tests.github.fake import serving, world


@dataclass(frozen=True)
class GitHub:
    """An app of the fake that is registered on the server, and its installation in one account."""

    server: Server
    installation: world.Installation
    app_id: str
    installation_id: str

    @property
    def webhook_url(self) -> str:
        return f"{self.server.url}/api/webhooks/github/{self.app_id}"

    def repository(self, name: str, files: world.Files, workspaces: Sequence[str]) -> world.Repository:
        """A repository that *workspaces*, by their ids, follow."""
        there = self.installation.add_repository(name, files)
        opening.run(self.server.data, _follow(self.installation_id, there, workspaces))
        return there

    def message(self, event: str, payload: Mapping[str, Any]) -> tuple[bytes, dict[str, str]]:
        """Body and headers of a delivery that comes for the first time."""
        body = json.dumps(payload).encode()
        headers = {
            "content-type": "application/json",
            "x-github-event": event,
            "x-github-delivery": str(uuid4()),
            "x-hub-signature-256": signatures.sign(body, Secret(self.installation.app.webhook_secret)),
        }
        return body, headers


@contextmanager
def delivering_to(server: Server) -> Iterator[GitHub]:
    with serving() as fake:
        installation = fake.add_app(1234).install("acme")
        app_id, installation_id = opening.run(server.data, _know(installation))
        yield GitHub(server, installation, app_id, installation_id)


async def _know(installation: world.Installation) -> tuple[str, str]:
    app = await connected.register(installation.app)
    return app.id, (await connected.know_installation(app, installation)).id


async def _follow(installation_id: str, there: world.Repository, workspaces: Sequence[str]) -> None:
    """As if its heads had just been looked at: only what is delivered makes runs."""
    installation = await Installation.get(id=installation_id)
    repository = await connected.know_repository(installation, there)
    repository.reconciled_at = clock.now()
    await repository.save()
    await Workspace.filter(id__in=workspaces).update(queue_all_runs=True)
    for workspace in workspaces:
        await Connection.create(workspace_id=workspace, repository=repository, created_at=clock.now())

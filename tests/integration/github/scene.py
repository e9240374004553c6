"""A repository on the fake that workspaces here follow, and what GitHub tells of it, processed as a worker does."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from app import clock
from app.organizations.models import Organization
from app.runs.models import Run
from app.settings import Settings
from app.vcs.models import Connection, Installation, Repository
from app.workspaces.models import Workspace
from github_app import client, deliveries, inbox
from github_app.models import Check, Delivery, GitHubApp
from tests import factories
from tests.github import connected
from tests.github.fake import GitHub, serving, world

#: The files every scene begins with.
FILES = {"main.tf": "# begin\n", "network/main.tf": "# network\n", "modules/a.tf": "# a\n"}


@dataclass
class Scene:
    """An app, its installation in acme and acme/infra, on the fake (`there`) and here."""

    github: GitHub
    there: world.Repository
    app: GitHubApp
    installation: Installation
    repository: Repository
    organization: Organization

    async def follow(self, name: str, *, branch: str = "", tags_regex: str = "", **settings: Any) -> Workspace:
        settings.setdefault("queue_all_runs", True)
        workspace = await factories.make_workspace(self.organization, name, **settings)
        await Connection.create(
            workspace=workspace,
            repository=self.repository,
            branch=branch,
            tags_regex=tags_regex,
            created_at=clock.now(),
        )
        return workspace

    async def hear(self, event: str, body: dict[str, Any], guid: str | None = None) -> Delivery:
        """What becomes of a delivery, once a worker has processed what waits."""
        message = inbox.Message(guid or str(uuid4()), event, json.dumps(body).encode())
        delivery = await inbox.store(self.app, message)
        await deliveries.process_waiting()
        await delivery.refresh_from_db()
        return delivery

    async def runs(self, workspace: Workspace) -> list[Run]:
        return await Run.filter(workspace_id=workspace.id).order_by("number")

    async def verdicts(self, sha: str) -> dict[str, tuple[bool, str]]:
        """What the newest checks on *sha* say, by their names: whether they have ended, and their titles."""
        rows = await Check.filter(head_sha=sha).order_by("attempt")
        return {row.name.partition(" / ")[2]: (row.is_final, str(row.wanted["title"])) for row in rows}


@pytest.fixture(scope="module")
def github() -> Iterator[GitHub]:
    with serving() as served:
        yield served


@pytest.fixture
async def scene(opened: Settings, github: GitHub) -> AsyncIterator[Scene]:
    number = next(github.numbers)
    installed = github.add_app(number).install(f"acme-{number}")
    there = installed.add_repository("infra", FILES)
    github.requests.clear()
    app = await connected.register(installed.app)
    installation = await connected.know_installation(app, installed)
    repository = await connected.know_repository(installation, there)
    organization = await factories.make_organization("acme")
    yield Scene(github, there, app, installation, repository, organization)
    github.faults.clear()
    github.clock_ahead = timedelta()
    await client.close()

"""A repository on the fake that workspaces here follow, and what GitHub tells of it, processed as a worker does."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest

from app import clock
from app.organizations.models import Organization
from app.runs.models import Run
from app.vcs.models import Connection
from app.workspaces.models import Workspace
from github_app import deliveries, inbox
from github_app.models import Check, Delivery
from tests import factories
from tests.integration.github.conftest import Acme


@dataclass
class Scene(Acme):
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


@pytest.fixture
async def scene(acme: Acme) -> Scene:
    return Scene(**vars(acme), organization=await factories.make_organization("acme"))

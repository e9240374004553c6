"""Configuration versions that queue runs, and runs that make them current."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from app import configurations
from app.access.actors import Actor
from app.jobs import claims
from app.runs import moves
from app.runs.models import Run
from app.runs.uploads import MESSAGE
from app.workspaces.models import Workspace
from tests import factories

pytestmark = pytest.mark.usefixtures("opened")


async def upload(actor: Actor, workspace: Workspace, **given: Any) -> str:
    version = await configurations.create(actor, workspace, **given)
    for _ in range(2):  # a client that heard no answer sends it again
        await configurations.receive(version.id, factories.chunks(factories.archive()))
    return version.id


async def test_a_version_that_asks_for_a_run_gets_one_as_whoever_made_it() -> None:
    user = await factories.make_user()
    workspace = await factories.make_workspace(await factories.make_organization(owner=user))
    actor = await factories.actor_of(user)
    quiet = await upload(actor, workspace, auto_queue_runs=False)
    asking = await upload(actor, workspace, auto_queue_runs=True)
    assert await Run.filter(configuration_version_id=quiet).count() == 0
    [run] = await Run.filter(configuration_version_id=asking)
    assert (run.created_by_id, run.message, run.source) == (user.id, MESSAGE, "tfe-configuration-version")


async def test_two_announcements_at_once_queue_one_run() -> None:
    user = await factories.make_user()
    workspace = await factories.make_workspace(await factories.make_organization(owner=user))
    version = await configurations.create(await factories.actor_of(user), workspace, auto_queue_runs=True)
    content = factories.archive()
    await asyncio.gather(*(configurations.receive(version.id, factories.chunks(content)) for _ in range(4)))
    assert await Run.filter(configuration_version_id=version.id).count() == 1


async def test_an_upload_to_a_workspace_of_local_execution_is_no_failure() -> None:
    user = await factories.make_user()
    organization = await factories.make_organization(owner=user)
    workspace = await factories.make_workspace(organization, execution_mode="local")
    await upload(await factories.actor_of(user), workspace, auto_queue_runs=True)
    assert await Run.all().count() == 0


async def test_a_provisional_version_is_current_once_its_run_has_applied() -> None:
    workspace = await factories.make_workspace()
    version = await factories.make_configuration_version(workspace, provisional=True)
    run = await factories.make_run(workspace, configuration_version=version, auto_apply=True)
    await factories.plan(run)
    assert (await Workspace.get(id=workspace.id)).current_configuration_version_id != version.id
    claimed = await factories.take_job()
    await run.refresh_from_db()
    await moves.move(run, "start", claim=claimed.claim)
    await moves.move(run, "finish", claim=claimed.claim)
    await claims.close(claimed.claim)
    assert (await Workspace.get(id=workspace.id)).current_configuration_version_id == version.id

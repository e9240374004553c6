"""What an apply sets off, whatever is told twice or not at all."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest

from app import configurations, events, runs, variables, workspaces
from app.access.actors import SYSTEM
from app.errors import Conflict, Unavailable
from app.organizations.models import Organization
from app.runs import RunOptions, moves, triggering
from app.runs.models import Run, RunEvent, RunTrigger
from app.runs.snapshot import read
from app.secret import Secret
from app.workspaces.models import Workspace
from tests import factories

pytestmark = pytest.mark.usefixtures("opened")


@pytest.fixture
async def organization(opened: object) -> Organization:
    return await factories.make_organization()


async def ready(organization: Organization, name: str, **given: Any) -> Workspace:
    """A workspace with a configuration."""
    workspace = await factories.make_workspace(organization, name, **given)
    await factories.make_configuration_version(workspace, auto_queue_runs=False)
    return workspace


async def chain(organization: Organization, *names: str, **given: Any) -> list[Workspace]:
    """Workspaces, the apply of each of which triggers the next."""
    made = [await ready(organization, name, **given) for name in names]
    for source, target in itertools.pairwise(made):
        await factories.make_run_trigger(source, target)
    return made


async def applied(workspace: Workspace) -> Run:
    return await factories.apply(await factories.make_run(workspace, auto_apply=True))


async def of(workspace: Workspace) -> list[Run]:
    return await Run.filter(workspace_id=workspace.id).order_by("number")


async def test_an_apply_queues_one_run_in_each_connected_workspace(organization: Organization) -> None:
    network, app = await chain(organization, "network", "app")
    other = await ready(organization, "other")
    await factories.make_run_trigger(network, other)
    run = await applied(network)
    for workspace in (app, other):
        [queued] = await of(workspace)
        fresh = await Workspace.get(id=workspace.id)
        assert (queued.source, queued.trigger_reason, queued.created_by_id) == ("tfe-run-trigger", "run_trigger", None)
        assert queued.message == f"Triggered by {run.id} of the workspace network"
        assert (queued.triggering_run_id, queued.triggering_source_id) == (run.id, network.id)
        assert queued.configuration_version_id == fresh.current_configuration_version_id
        assert (queued.plan_only, queued.auto_apply) == (False, False)
    assert len(await of(network)) == 1


async def test_only_an_apply_that_came_to_its_end_triggers(organization: Organization) -> None:
    network, app = await chain(organization, "network", "app")
    await factories.plan(await factories.make_run(network), changes=False)
    await factories.plan(await factories.make_run(network, plan_only=True))
    discarded = await factories.plan(await factories.make_run(network))
    await runs.discard(SYSTEM, discarded)
    assert await of(app) == []


async def test_announced_again_and_again_it_is_queued_once(organization: Organization) -> None:
    network, app = await chain(organization, "network", "app")
    run = await applied(network)
    await RunEvent.filter(run_id=run.id).update(announced_at=None)
    assert await moves.announce_forgotten() > 0
    event = await RunEvent.get(run_id=run.id, status="applied").prefetch_related("run")
    await asyncio.gather(*(triggering.fire(event) for _ in range(4)))
    assert len(await of(app)) == 1


async def test_two_at_once_that_looked_at_the_same_moment_queue_one(organization: Organization) -> None:
    network, app = await chain(organization, "network", "app")
    run = await applied(await ready(organization, "elsewhere"))
    options = RunOptions(triggering_run=run)
    await app.refresh_from_db()
    outcomes = await asyncio.gather(
        *(runs.create(SYSTEM, app, None, options) for _ in range(4)), return_exceptions=True
    )
    assert [type(one) for one in outcomes if not isinstance(one, Run)] == [Conflict] * 3
    assert len(await of(app)) == 1
    assert await of(network) == []


async def test_a_process_that_died_before_it_told_anybody_is_made_up_for(
    organization: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, app = await chain(organization, "network", "app")

    async def dies(spoken: list[RunEvent]) -> None:
        """Where every announcement would begin."""

    with monkeypatch.context() as dead:
        dead.setattr(moves, "announce", dies)
        run = await factories.make_run(network, auto_apply=True)
        await factories.apply(run)
    assert await of(app) == []
    await moves.announce_forgotten()
    assert [one.triggering_run_id for one in await of(app)] == [run.id]


async def test_a_listener_that_could_not_is_asked_again(
    organization: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, app = await chain(organization, "network", "app")

    async def away(*_: object, **__: object) -> None:
        raise Unavailable("The database is away.")

    with monkeypatch.context() as broken:
        broken.setattr(triggering, "create", away)
        run = await applied(network)
    assert await of(app) == []
    await moves.announce_forgotten()
    assert [one.triggering_run_id for one in await of(app)] == [run.id]
    assert await RunEvent.filter(run_id=run.id, announced_at=None).count() == 0


async def test_each_apply_queues_a_run_of_its_own(organization: Organization) -> None:
    network, app = await chain(organization, "network", "app")
    first = await applied(network)
    [queued] = await of(app)
    await runs.cancel(SYSTEM, queued)
    second = await applied(network)
    assert [one.triggering_run_id for one in await of(app)] == [first.id, second.id]


async def test_whether_it_applies_by_itself_its_own_setting_says(organization: Organization) -> None:
    network = await ready(organization, "network")
    for name, given in {
        "neither": {},
        "other-setting": {"auto_apply": True},
        "by-itself": {"auto_apply_run_trigger": True},
    }.items():
        await factories.make_run_trigger(network, await ready(organization, name, **given))
    await applied(network)
    queued = await Run.filter(triggering_source_id=network.id).prefetch_related("workspace")
    assert {one.workspace.name: one.auto_apply for one in queued} == {
        "neither": False,
        "other-setting": False,
        "by-itself": True,
    }


async def test_a_chain_goes_on_and_stops_where_it_comes_back(organization: Organization) -> None:
    network, app, web = await chain(organization, "network", "app", "web", auto_apply_run_trigger=True)
    # A circle that no request can make any more: an old row, or one written by hand.
    await RunTrigger.create(id="rt-circle", workspace=network, sourceable=web, created_at=web.created_at)
    first = await applied(network)
    before = first
    for workspace in (app, web):
        [queued] = await of(workspace)
        assert queued.triggering_run_id == before.id
        before = await factories.apply(queued)
    assert [len(await of(workspace)) for workspace in (network, app, web)] == [1, 1, 1]
    [last] = await of(web)
    [outlook] = await triggering.followed(SYSTEM, last)
    assert (outlook.workspace.id, outlook.run) == (network.id, None)
    assert outlook.hindrance == "it is part of what led to this run"


async def test_without_a_usable_configuration_there_is_none_and_the_source_says_so(organization: Organization) -> None:
    network = await ready(organization, "network")
    empty = await factories.make_workspace(organization, "a-empty")
    speculative = await factories.make_workspace(organization, "b-speculative")
    await factories.make_configuration_version(speculative, speculative=True)
    provisional = await factories.make_workspace(organization, "c-provisional")
    await factories.make_configuration_version(provisional, provisional=True, auto_queue_runs=False)
    waiting = await factories.make_workspace(organization, "d-waiting")
    await configurations.create(SYSTEM, waiting)
    local = await ready(organization, "e-local")
    await workspaces.update(SYSTEM, local, execution_mode="local")
    good = await ready(organization, "f-good")
    for target in (empty, speculative, provisional, waiting, local, good):
        await factories.make_run_trigger(network, target)
    run = await applied(network)
    outlook = await triggering.followed(SYSTEM, run)
    assert [one.hindrance for one in outlook] == [
        *["it has no configuration yet"] * 4,
        "its execution mode is local",
        None,
    ]
    [queued] = await of(good)
    assert [one.run.id for one in outlook if one.run] == [queued.id]
    assert await Run.all().count() == 2
    assert await RunEvent.filter(announced_at=None).count() == 0


async def test_a_deleted_workspace_is_not_triggered_and_does_not_stand_in_the_way(organization: Organization) -> None:
    network, gone = await chain(organization, "network", "gone")
    there = await ready(organization, "there")
    await factories.make_run_trigger(network, there)
    await workspaces.delete(SYSTEM, gone)
    await applied(network)
    assert (len(await of(gone)), len(await of(there))) == (0, 1)


async def test_it_has_the_variables_of_the_moment_it_is_queued(organization: Organization) -> None:
    network, app = await chain(organization, "network", "app")
    variable = await factories.make_variable(app, "region", "before")
    await applied(network)
    await variables.update(SYSTEM, app, variable, variables.Change(value=Secret("after")))
    [queued] = await of(app)
    assert [one.value.reveal() for one in await read(queued)] == ["before"]


def test_everyone_who_puts_a_process_together_listens() -> None:
    assert triggering.fire in events.run_moved._listeners

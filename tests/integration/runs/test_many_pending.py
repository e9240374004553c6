"""Ten thousand runs pending in one workspace, as many jobs queued: nothing that is done looks at them all."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from app import runs, worker
from app import settings as settings_module
from app.access.actors import SYSTEM
from app.jobs import claims
from app.organizations.models import Organization
from app.runs import RunOptions, lists, queue, waiting
from app.runs.lists import Wanted
from app.runs.models import Run
from app.settings import Settings
from app.workspaces.models import Workspace
from tests import factories
from tests.integration.crowd import crowd, stored
from tests.integration.rows_read import analyze, counted
from tests.migrated import migrated
from tests.services import Parts

pytestmark = pytest.mark.usefixtures("opened")

TOOLS = {"terraform/1.11.4"}
FEW, MANY = 30, 10_000


@pytest.fixture
def settings(parts: Parts, tmp_path: Path) -> Settings:
    """One connection, whose statistics then hold all that was done."""
    return settings_module.load(
        data_dir=tmp_path,
        database_url=parts.prepared(migrated, "migrated"),
        database_pool=1,
        objects_url=parts.objects_url,
        objects_options=parts.objects_options,
    )


class Installation:
    """A workspace in which many runs are pending, another beside it, and an organization with as many jobs queued."""

    crowded: Workspace
    beside: Workspace
    flooding: Organization

    @classmethod
    async def made(cls) -> Installation:
        self = cls()
        organization = await factories.make_organization()
        self.crowded = await factories.make_workspace(organization)
        self.beside = await factories.make_workspace(organization)
        self.flooding = await factories.make_organization()
        await factories.make_run(self.crowded)
        await factories.make_run(self.beside)
        return self

    async def fill(self, count: int) -> None:
        await stored(self.crowded, count, status="pending")
        await crowd(self.flooding, count, phases=False)
        await analyze()

    async def create(self, workspace: Workspace) -> Run:
        version = await factories.make_configuration_version(workspace)
        return await runs.create(SYSTEM, workspace, version, RunOptions())

    async def pass_by(self) -> None:
        version = await factories.make_configuration_version(self.crowded, speculative=True)
        await runs.create(SYSTEM, self.crowded, version, RunOptions())

    async def page(self, workspace: Workspace) -> None:
        found = await lists.of_workspace(SYSTEM, workspace, Wanted())
        await waiting.reasons_of(await found.limit(20))

    async def cancel_the_last(self) -> None:
        last = await Run.filter(workspace_id=self.crowded.id, status="pending").order_by("-number").first()
        assert last is not None
        await runs.cancel(SYSTEM, last)

    async def claim(self) -> None:
        claimed = await claims.claim("wrk-1", TOOLS)
        assert claimed is not None
        assert await claims.renew(claimed.claim) is not None
        await claims.Watch().lapsed()
        await claims.release(claimed.job.id, claimed.claim.number)

    def deeds(self) -> dict[str, Callable[[], Awaitable[object]]]:
        return {
            "create where many are pending": lambda: self.create(self.crowded),
            "create beside them": lambda: self.create(self.beside),
            "pass them": self.pass_by,
            "advance": lambda: queue.advance(self.crowded.id),
            "advance all": queue.advance_all,
            "current run": lambda: queue.current_run_id(self.crowded),
            "claim, renew, watch, release": self.claim,
            "cancel": self.cancel_the_last,
            "list beside them": lambda: self.page(self.beside),
            **{f"chore: {name}": chore.do for name, chore in worker.CHORES.items()},
        }


async def test_what_is_done_costs_the_same_with_few_and_with_ten_thousand_waiting() -> None:
    installation = await Installation.made()
    await installation.fill(FEW)
    efforts: dict[str, list[int]] = {}
    for count in (FEW, MANY):
        for name, do in installation.deeds().items():
            await do()
            async with counted() as effort:
                await do()
            efforts.setdefault(name, []).append(effort.rows)
        if count == FEW:
            await installation.fill(MANY)
    grown = {name: effort for name, effort in efforts.items() if effort[1] > 3 * effort[0] + 1000}
    assert grown == {}

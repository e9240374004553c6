"""Many runs at once, written as rows: what thousands of requests would have left behind."""

from __future__ import annotations

import itertools
from typing import Any

from app import clock, ids
from app.jobs.models import Counter, Job
from app.organizations.models import Organization
from app.runs.models import Apply, Plan, Run
from app.workspaces.models import Workspace
from tests import factories

_numbers = itertools.count(1)
PIECE = 1000


async def crowd(
    organization: Organization,
    count: int,
    *,
    priority: int = 1,
    terraform_version: str = "1.11.4",
    phases: bool = True,
) -> list[int]:
    """*count* runs whose plan or apply waits for a worker, in a workspace of their own; the numbers of their jobs."""
    if not count:
        return []
    workspace = await factories.make_workspace(organization, terraform_version="1.11.4")
    status = "apply_queued" if priority == 0 else "plan_queued"
    given = {"plan_only": priority == 2, "terraform_version": terraform_version}
    runs = await stored(workspace, count, status=status, phases=phases, **given)
    await Counter.get_or_create(name="jobs", defaults={"value": 0})
    counter = await Counter.get(name="jobs")
    numbers = list(range(counter.value + 1, counter.value + count + 1))
    jobs = [
        Job(
            id=ids.new("job"),
            run_id=run.id,
            organization_id=organization.id,
            phase="apply" if priority == 0 else "plan",
            priority=priority,
            number=number,
            terraform_version=terraform_version,
            queued_at=clock.now(),
        )
        for run, number in zip(runs, numbers, strict=True)
    ]
    await Job.bulk_create(jobs, batch_size=PIECE)
    await Counter.filter(name="jobs").update(value=numbers[-1])
    return numbers


async def stored(workspace: Workspace, count: int, *, status: str, phases: bool = True, **given: Any) -> list[Run]:
    """*count* runs of *workspace* in *status*, with the rows of their plans and applies unless *phases* is off."""
    version = await factories.make_configuration_version(workspace)
    fresh = await Workspace.get(id=workspace.id)
    now = clock.now()
    runs = [
        Run(
            id=ids.new("run"),
            workspace_id=workspace.id,
            organization_id=workspace.organization_id,
            configuration_version_id=version.id,
            number=fresh.run_count + place,
            status=status,
            message=f"run {next(_numbers)}",
            created_at=now,
            **{"terraform_version": "1.11.4", **given},
        )
        for place in range(1, count + 1)
    ]
    await Run.bulk_create(runs, batch_size=PIECE)
    if phases:
        await Plan.bulk_create([Plan(id=ids.plan_id(run.id), run_id=run.id) for run in runs], batch_size=PIECE)
        await Apply.bulk_create([Apply(id=ids.apply_id(run.id), run_id=run.id) for run in runs], batch_size=PIECE)
    await Workspace.filter(id=workspace.id).update(run_count=fresh.run_count + count, latest_run_id=runs[-1].id)
    return runs

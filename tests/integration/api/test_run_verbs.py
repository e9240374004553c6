"""Cancel, force-cancel, discard and apply asked over HTTP of a run in every status there is.

The statuses are the lifecycle's own: one that is added is asked without a word here.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import httpx2
import pytest

from app import clock
from app.jobs import claims
from app.jobs import queue as jobs
from app.jobs.models import Job
from app.organizations.models import Organization
from app.runs import lifecycle
from app.runs.lifecycle import Status
from app.runs.models import Run, RunEvent
from app.workspaces.models import Workspace
from tests import factories
from tests.api import Client, attributes

#: The button of the API's `actions` that speaks of each verb.
VERBS = {
    "apply": "is-confirmable",
    "discard": "is-discardable",
    "cancel": "is-cancelable",
    "force-cancel": "is-force-cancelable",
}

#: run-lifecycle.md §2, for the statuses that every installation has: what may be done to a run that nobody has
#: canceled yet.  A finished plan here has changes.
ALLOWED = {
    Status.PENDING: {"discard", "cancel"},
    Status.PLAN_QUEUED: {"cancel"},
    Status.PLANNING: {"cancel"},
    Status.PLANNED: {"apply", "discard"},
    Status.PLANNED_AND_FINISHED: set(),
    Status.PLANNED_AND_SAVED: {"apply", "discard"},
    Status.CONFIRMED: {"cancel"},
    Status.APPLY_QUEUED: {"cancel"},
    Status.APPLYING: {"cancel"},
    Status.APPLIED: set(),
    Status.DISCARDED: set(),
    Status.ERRORED: set(),
    Status.CANCELED: set(),
}


@dataclass(frozen=True)
class Wish:
    """How far a cancel has come before the verb is asked."""

    name: str
    requested: bool = False
    cooled_off: bool = False


WISHES = [
    Wish("nobody canceled"),
    Wish("canceled", requested=True),
    Wish("cooled off", requested=True, cooled_off=True),
]


async def resting(organization: Organization, status: Status, wish: Wish) -> Run:
    """A run of a workspace of its own that stands in *status* with all that must hold there: lock, job, wish."""
    workspace = await factories.make_workspace(organization)
    run = await factories.make_run(workspace, save_plan=status is Status.PLANNED_AND_SAVED)
    await Job.filter(run_id=run.id).delete()
    now = clock.now()
    run.update_from_dict({"status": status.value, "has_changes": True})
    run.status_timestamps = {lifecycle.timestamp_key(status): clock.wire(now)}
    if wish.requested:
        run.cancel_requested_at = now
        run.force_cancel_available_at = now + timedelta(seconds=-1 if wish.cooled_off else 60)
    await run.save()
    holder = run.id if lifecycle.holds_lock(run) else None
    await Workspace.filter(id=workspace.id).update(locked_by_run_id=holder)
    phase = lifecycle.queued_phase(run) or lifecycle.running_phase(run)
    if phase is not None:
        await _job(run, phase, taken=lifecycle.running_phase(run) is not None or wish.requested)
    return run


async def _job(run: Run, phase: str, *, taken: bool) -> None:
    job = await jobs.put(
        run_id=run.id,
        organization_id=run.organization_id,
        phase=phase,
        priority=1,
        engine=run.engine,
        terraform_version=run.terraform_version,
    )
    if taken:
        await Job.filter(id=job.id).update(worker_id="wrk-gone", claim=1, lease=1)


def refusal(response: httpx2.Response) -> str:
    """The sentence of a 409."""
    assert response.status_code == 409, response.text
    [error] = response.json()["errors"]
    sentence = str(error["detail"])
    assert " " in sentence
    assert sentence.endswith(".")
    return sentence


# What was asked before decides in Python: one of them is enough to see the other database do it.
@pytest.mark.parametrize(
    ("parts", "wish"),
    [*(("embedded", wish) for wish in WISHES), ("external", WISHES[0])],
    ids=lambda value: value if isinstance(value, str) else value.name,
    indirect=["parts"],
)
async def test_every_verb_is_done_or_refused_with_a_sentence_in_every_status(
    client: Client, organization: Organization, wish: Wish
) -> None:
    for status in Status:
        for verb, button in VERBS.items():
            run = await resting(organization, status, wish)
            offered = attributes(await client.get(f"/runs/{run.id}"))["actions"][button]
            response = await client.post(f"/runs/{run.id}/actions/{verb}", {"comment": "because"})
            where = (status, verb, response.status_code, response.text)
            repeated = verb == "cancel" and wish.requested and not lifecycle.is_final(run)
            if offered or repeated:
                assert response.status_code == 202, where
                assert response.content == b"", where
            else:
                assert refusal(response), where
            if status in ALLOWED and not wish.requested:
                assert offered == (verb in ALLOWED[status]), where
            await consistent(run)


async def consistent(run: Run) -> None:
    """The run is where a run may be, its lock is its own, and a final one keeps neither lock nor waiting job."""
    await run.refresh_from_db()
    workspace = await Workspace.get(id=run.workspace_id)
    assert (workspace.locked_by_run_id == run.id) == lifecycle.holds_lock(run), run.status
    open_jobs = await Job.filter(run_id=run.id, closed_at=None)
    if lifecycle.is_final(run):
        assert all(job.worker_id is not None for job in open_jobs), run.status
    if run.force_canceled_at is not None:
        assert open_jobs == []


async def test_a_force_cancel_frees_workspace_and_job_although_the_worker_is_gone(
    client: Client, organization: Organization
) -> None:
    for status in (Status.PLANNING, Status.APPLYING, Status.PLAN_QUEUED, Status.APPLY_QUEUED):
        run = await resting(organization, status, WISHES[2])
        assert (await client.post(f"/runs/{run.id}/actions/force-cancel")).status_code == 202
        shown = attributes(await client.get(f"/runs/{run.id}"))
        assert shown["status"] == "canceled"
        assert shown["status-timestamps"]["force-canceled-at"] == shown["status-timestamps"]["canceled-at"]
        assert await Job.filter(run_id=run.id, closed_at=None).count() == 0
        assert (await Workspace.get(id=run.workspace_id)).locked_by_run_id is None


async def test_a_force_cancel_within_the_cool_off_says_when_it_may_be_asked(
    client: Client, organization: Organization
) -> None:
    run = await resting(organization, Status.APPLYING, WISHES[0])
    assert "only after a cancel" in refusal(await client.post(f"/runs/{run.id}/actions/force-cancel"))
    assert (await client.post(f"/runs/{run.id}/actions/cancel")).status_code == 202
    shown = attributes(await client.get(f"/runs/{run.id}"))
    available = shown["force-cancel-available-at"]
    assert available > shown["canceled-at"]
    assert available in refusal(await client.post(f"/runs/{run.id}/actions/force-cancel"))


@pytest.mark.parametrize(
    ("verbs", "ends"),
    [
        (("apply", "apply"), {"apply_queued"}),
        (("discard", "discard"), {"discarded"}),
        (("apply", "discard"), {"apply_queued", "discarded"}),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, tuple) else "",
)
async def test_of_two_decisions_at_once_one_is_taken_and_one_refused(
    client: Client, organization: Organization, verbs: tuple[str, str], ends: set[str]
) -> None:
    for _ in range(4):
        run = await resting(organization, Status.PLANNED, WISHES[0])
        answers = await asyncio.gather(*(client.post(f"/runs/{run.id}/actions/{verb}") for verb in verbs))
        assert sorted(answer.status_code for answer in answers) == [202, 409], [answer.text for answer in answers]
        for answer in answers:
            if answer.status_code == 409:
                refusal(answer)
        await run.refresh_from_db()
        assert run.status in ends
        decisions = await RunEvent.filter(run_id=run.id, action__in=["confirm", "discard"]).count()
        assert decisions == 1
        assert await Job.filter(run_id=run.id, phase="apply", closed_at=None).count() == (run.status == "apply_queued")


async def test_a_saved_plan_that_cannot_be_applied_says_who_is_in_its_way(
    client: Client, organization: Organization
) -> None:
    run = await resting(organization, Status.PLANNED_AND_SAVED, WISHES[0])
    apply, workspace = f"/runs/{run.id}/actions/apply", f"/workspaces/{run.workspace_id}"
    assert (await client.post(f"{workspace}/actions/lock")).status_code == 200
    assert "locked by User alice" in refusal(await client.post(apply))
    assert (await client.post(f"{workspace}/actions/unlock")).status_code == 200
    other = await factories.make_run(await Workspace.get(id=run.workspace_id))
    assert f"locked by Run {other.id}" in refusal(await client.post(apply))
    assert (await client.post(f"/runs/{other.id}/actions/cancel")).status_code == 202
    await Run.filter(id=run.id).update(input_state_version_id="sv-another")
    assert "The state has moved since this plan was made" in refusal(await client.post(apply))
    await Run.filter(id=run.id).update(input_state_version_id=None)
    assert (await client.post(apply)).status_code == 202


class SetBack:
    """The machine's clocks, the wall's an hour behind."""

    def now(self) -> datetime:
        return datetime.now(UTC) - timedelta(hours=1)

    def monotonic(self) -> float:
        return time.monotonic()


async def test_a_clock_that_was_set_back_an_hour_keeps_nobody_from_deciding(
    client: Client, organization: Organization
) -> None:
    for status, verb in ((Status.PLANNED, "apply"), (Status.PLANNED, "discard"), (Status.PENDING, "cancel")):
        run = await resting(organization, status, WISHES[0])
        with clock.using(SetBack()):
            assert (await client.post(f"/runs/{run.id}/actions/{verb}")).status_code == 202, verb
            shown = attributes(await client.get(f"/runs/{run.id}"))
        stamps = list(shown["status-timestamps"].values())
        assert len(stamps) > 1
        assert stamps == sorted(stamps), verb


async def test_a_cancel_said_by_two_at_once_is_one_cancel(client: Client, organization: Organization) -> None:
    run = await resting(organization, Status.PLANNING, WISHES[0])
    answers = await asyncio.gather(*(client.post(f"/runs/{run.id}/actions/cancel") for _ in range(4)))
    assert {answer.status_code for answer in answers} <= {202, 409}
    assert 202 in {answer.status_code for answer in answers}
    assert await RunEvent.filter(run_id=run.id, action="cancel").count() == 1


async def test_a_claim_that_comes_while_a_cancel_is_said_is_told_of_it(
    client: Client, organization: Organization
) -> None:
    """Whoever is first: the run ends at once, or its worker hears of the wish when it renews."""
    for _ in range(4):
        run = await factories.make_run(await factories.make_workspace(organization))
        claimed, answer = await asyncio.gather(
            claims.claim("wrk-quick", {"terraform/1.11.4"}), client.post(f"/runs/{run.id}/actions/cancel")
        )
        assert answer.status_code == 202, answer.text
        await run.refresh_from_db()
        wishes = await claims.renew(claimed.claim) if claimed is not None else None
        assert lifecycle.is_final(run) or (wishes is not None and wishes.cancel_requested_at is not None)
        await Job.filter(run_id=run.id).update(closed_at=clock.now())

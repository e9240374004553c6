"""One page of metrics for a whole installation: the web, its workers, and what the database knows."""

from __future__ import annotations

from datetime import timedelta

import pytest
from prometheus_client.parser import text_string_to_metric_families

from app import clock, measures
from app.jobs import claims, workers
from app.jobs.models import Job, Worker
from app.organizations.models import Organization
from tests import factories
from tests.api import Client
from tests.integration.crowd import crowd

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


async def scraped(client: Client) -> Samples:
    response = await client.get("//metrics")
    assert response.status_code == 200
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples[name, frozenset(labels.items())]


async def test_the_queue_is_what_the_database_has(client: Client, organization: Organization) -> None:
    await workers.register("wrk-1", "one", 2, {"terraform/1.11.4"})
    await workers.register("wrk-2", "two", 2, {"terraform/1.11.4"}, "The disk is full.")
    workspace = await factories.make_workspace(organization)
    for _ in range(2):
        await factories.make_run(workspace)
    await crowd(organization, 3, priority=0)
    assert await claims.claim("wrk-1", {"terraform/1.11.4"}) is not None
    await Job.filter(priority=1).update(queued_at=clock.now() - timedelta(seconds=90))
    samples = await scraped(client)
    assert value(samples, "stateroom_queue_jobs", **{"class": "apply"}) == 2
    assert value(samples, "stateroom_queue_jobs", **{"class": "plan"}) == 1
    assert value(samples, "stateroom_queue_jobs", **{"class": "speculative"}) == 0
    assert value(samples, "stateroom_queue_age_seconds", **{"class": "plan"}) >= 90
    assert value(samples, "stateroom_jobs_running", **{"class": "apply"}) == 1
    assert value(samples, "stateroom_runs_pending") == 1
    assert value(samples, "stateroom_workers", takes_jobs="yes") == 1
    assert value(samples, "stateroom_workers", takes_jobs="no") == 1
    assert value(samples, "stateroom_worker_slots") == 2
    assert value(samples, "stateroom_job_wait_seconds_count", **{"class": "apply"}) >= 1
    assert value(samples, "stateroom_database_seconds_count", statement="select") > 0


async def test_workers_report_their_own_until_they_are_gone(client: Client) -> None:
    await workers.register("wrk-1", "one", 2, {"terraform/1.11.4"})
    measures.chore.labels("sweep", "done").observe(0.1)
    await workers.pulse("wrk-1", None, measures.text())
    samples = await scraped(client)
    labels = {"chore": "sweep", "outcome": "done", "worker": "one/wrk-1"}
    assert value(samples, "stateroom_chore_seconds_count", **labels) >= 1
    await Worker.filter(id="wrk-1").update(seen_at=clock.now() - timedelta(minutes=5))
    assert not any(("worker", "one/wrk-1") in labels for _, labels in await scraped(client))


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_no_line_is_there_twice(client: Client) -> None:
    for name in ("wrk-1", "wrk-2"):
        await workers.register(name, "one", 2, {"terraform/1.11.4"})
        await workers.pulse(name, None, measures.text())
    lines = (await client.get("//metrics")).text.splitlines()
    series = [line.rpartition(" ")[0] for line in lines if not line.startswith("#")]
    assert len(series) == len(set(series))
    types = [line for line in lines if line.startswith("# TYPE")]
    assert len(types) == len(set(types))


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_nothing_a_client_invents_becomes_a_series(client: Client) -> None:
    async def odd(number: int) -> None:
        await client.get(f"/workspaces/ws-{number}")
        await client.get(f"//somewhere/{number}")
        await client.request(f"BREW{number}", "/ping")
        await client.get(f"/organizations/none-{number}/workspaces?search[name]={number}")
        await client.get("/ping", headers={"user-agent": f"agent {number}", "terraform-version": str(number)})

    await odd(0)
    before = set(await scraped(client))
    for number in range(1, 20):
        await odd(number)
    assert set(await scraped(client)) == before


async def test_only_statuses_classes_and_our_own_names_are_labels(client: Client) -> None:
    """What grows with an installation (organizations, workspaces, runs, users) is no label."""
    bounded = {"route", "method", "status", "statement", "operation", "phase", "chore", "outcome", "class", "le"}
    bounded |= {"takes_jobs", "worker"}
    ours = {name: labels for name, labels in await scraped(client) if name.startswith("stateroom_")}
    assert ours
    assert {label for labels in ours.values() for label, _ in labels} <= bounded

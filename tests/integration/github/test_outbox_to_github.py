"""Checks as they reach GitHub: the fake compares each call with GitHub's own description of it."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest

from app import clock
from app.execution.redaction import redacted
from app.vcs.models import Installation
from github_app import check_names, checks, outbox
from github_app.models import Check, Pace
from tests import factories
from tests.github.rows import Ref
from tests.integration.github.conftest import Acme
from tests.integration.github.test_outbox import SECRETS, planned, shown

#: Nothing here depends on the parts.
pytestmark = pytest.mark.parametrize("parts", ["embedded"], indirect=True)


@dataclass
class Scene(Acme):
    aggregate: Check

    @property
    def said(self) -> dict[str, dict[str, object]]:
        return self.there.named_checks(self.aggregate.head_sha)


@pytest.fixture
async def scene(acme: Acme) -> Scene:
    organization, sha = await factories.make_organization("acme"), acme.there.head("main")
    assert sha is not None
    return Scene(**vars(acme), aggregate=await checks.open_aggregate(acme.repository, organization, sha, Ref()))


async def send_all() -> None:
    """Everything that is owed, without a second between."""
    for _ in range(20):
        await Pace.all().update(next_at=clock.now())
        await Check.filter(next_at__not_isnull=True).update(next_at=clock.now())
        await outbox.send()
        if not await Check.filter(next_at__not_isnull=True).exists():
            return
    raise AssertionError("something is owed for ever")


async def test_a_plan_is_told_as_github_takes_it_and_without_secrets(scene: Scene) -> None:
    await outbox.send()
    assert [one["status"] for one in scene.said.values()] == ["queued"]
    check = await planned(scene.aggregate, redacted(shown(), {}))
    await checks.settle(scene.aggregate)
    await send_all()
    assert {name: one["conclusion"] for name, one in scene.said.items()} == {
        "stateroom.test / acme": "success",
        "stateroom.test / acme / network": "success",
    }
    assert scene.said[check.name]["external_id"] == check_names.external_id(check)
    told = json.dumps([asked.body for asked in scene.github.requests], default=str)
    assert not [secret for secret in SECRETS if secret in told]
    assert scene.github.violations == []


async def test_an_answer_that_was_cut_makes_no_second_check(scene: Scene) -> None:
    scene.github.fail("lost", "/check-runs")
    await outbox.send()
    assert len(scene.there.checks) == 1
    assert (await Check.get(id=scene.aggregate.id)).number is None
    await checks.settle(scene.aggregate)
    await send_all()
    [number] = scene.there.checks
    assert (await Check.get(id=scene.aggregate.id)).number == number
    assert scene.said[scene.aggregate.name]["conclusion"] == "success"


async def test_what_may_not_be_written_as_a_check_becomes_a_status(scene: Scene) -> None:
    await Installation.all().update(permissions={"contents": "read", "statuses": "write"})
    await outbox.send()
    await checks.settle(scene.aggregate)
    await send_all()
    assert not scene.there.checks
    assert [one["state"] for one in scene.there.statuses] == ["pending", "success"]

"""The state on its way to the API: snapshots, an API that is away, a token that is refused."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from app.supervisor.client import Phase, Spawner
from app.supervisor.spec import Limits
from app.supervisor.statefile import State
from tests.integration.supervisor.fake_api import FakeApi, Version
from tests.integration.supervisor.place import Place
from tests.integration.supervisor.watching import ended, log, until, until_log_says

#: Waits in the middle until the test lets it go on.
PAUSED = {
    "main.tf": """
        resource "terraform_data" "one" {}
        resource "terraform_data" "paused" {
          depends_on = [terraform_data.one]
          provisioner "local-exec" { command = "echo paused here; while [ ! -e go ]; do sleep 0.05; done" }
        }
        resource "terraform_data" "last" { depends_on = [terraform_data.paused] }
    """
}


async def paused(place: Place, spawner: Spawner, **changes: object) -> Phase:
    """An apply that has made one resource and waits."""
    await ended(await spawner.launch(place.spec("plan", PAUSED), outlives_worker=False))
    phase = await spawner.launch(place.spec("apply", PAUSED, **changes), outlives_worker=True)
    await until_log_says(phase.control, "paused here")
    return phase


def go_on(place: Place) -> None:
    (place.root / "run" / "config" / "go").touch()


def read(path: str | None) -> bytes:
    assert path is not None
    return Path(path).read_bytes()


async def test_snapshots_are_taken_while_a_resource_takes_long(place: Place, api: FakeApi, spawner: Spawner) -> None:
    phase = await paused(place, spawner)
    await until(lambda: any(version.data for version in api.versions), "a snapshot has arrived")
    snapshot = api.versions[0]
    assert snapshot.intermediate
    assert snapshot.resources == ["one"]
    go_on(place)
    result = await ended(phase)
    assert result.outcome == "finished"
    assert result.state.snapshots >= 1
    assert api.finals[-1].resources == ["last", "one", "paused"]
    assert api.finals[-1].serial > snapshot.serial


async def test_an_api_that_is_away_does_not_touch_the_run(place: Place, api: FakeApi, spawner: Spawner) -> None:
    phase = await paused(place, spawner)
    api.is_away = True
    go_on(place)
    await until_log_says(phase.control, "Apply complete!")
    await until(lambda: sum(method == "POST" for method, _ in api.calls) >= 2, "it has been asked again")
    assert not phase.is_over
    api.is_away = False
    result = await ended(phase)
    assert (result.outcome, result.state.left) == ("finished", None)
    assert api.finals[-1].resources == ["last", "one", "paused"]


async def test_a_state_that_cannot_be_saved_is_kept_and_said(place: Place, api: FakeApi, spawner: Spawner) -> None:
    phase = await paused(place, spawner, limits=Limits(seconds=60, save_seconds=1))
    api.is_away = True
    go_on(place)
    result = await ended(phase)
    assert result.outcome == "finished"
    assert "503" in result.state.why
    left = State.parse(read(result.state.left))
    assert (left.serial, left.lineage) == (result.state.serial, result.state.lineage)
    assert b'"last"' in left.data
    assert "The state of this run could not be saved yet" in log(phase.control)


async def test_an_api_with_an_error_of_its_own_is_not_asked_for_long(
    place: Place, api: FakeApi, spawner: Spawner
) -> None:
    phase = await paused(place, spawner, limits=Limits(seconds=60, fault_seconds=2))
    api.is_faulty = True
    go_on(place)
    result = await ended(phase)
    assert result.outcome == "finished"
    assert "Stateroom answered 500: an error of ours" in result.state.why
    assert sum(method == "POST" for method, _ in api.calls) >= 2
    assert b'"last"' in read(result.state.left)


async def test_a_state_that_is_declined_is_kept(place: Place, api: FakeApi, spawner: Spawner) -> None:
    phase = await paused(place, spawner)
    await until(lambda: any(version.data for version in api.versions), "a snapshot has arrived")
    api.versions[0].lineage = "another"
    go_on(place)
    result = await ended(phase)
    assert result.state.uploaded_version is None
    assert "409" in result.state.why
    assert b'"last"' in read(result.state.left)


async def test_a_refused_token_interrupts_an_apply_and_keeps_its_journal(
    place: Place, api: FakeApi, spawner: Spawner
) -> None:
    phase = await paused(place, spawner)
    api.token = "another"
    result = await ended(phase)
    assert (result.outcome, result.reason) == ("canceled", "token-refused")
    assert "Stateroom no longer accepts this run's token" in log(phase.control)
    assert State.parse(read(result.state.left)).serial == result.state.serial
    assert "terraform_data.last" not in log(phase.control)
    assert api.finals == []


async def test_a_kill_while_the_state_waits_for_the_api_leaves_it(place: Place, api: FakeApi, spawner: Spawner) -> None:
    phase = await paused(place, spawner, limits=Limits(seconds=60, save_seconds=300))
    api.is_away = True
    go_on(place)
    await until_log_says(phase.control, "Apply complete!")
    phase.kill()
    result = await ended(phase)
    assert result.outcome == "finished"
    assert b'"last"' in read(result.state.left)


async def test_an_api_that_is_away_at_the_start_is_waited_for(place: Place, api: FakeApi, spawner: Spawner) -> None:
    api.is_away = True
    phase = await spawner.launch(place.spec("plan", PAUSED), outlives_worker=False)
    await until(lambda: len(api.calls) >= 2, "it has been asked again")
    api.is_away = False
    assert (await ended(phase)).outcome == "finished"


async def test_without_the_state_no_phase_begins(place: Place, api: FakeApi, spawner: Spawner) -> None:
    api.is_away = True
    spec = place.spec("plan", PAUSED, limits=Limits(seconds=60, read_seconds=0))
    result = await ended(phase := await spawner.launch(spec, outlives_worker=False))
    assert (result.outcome, result.reason, result.steps) == ("errored", "state", ())
    assert "The workspace's state cannot be read. Stateroom answered 503: away" in log(phase.control)


@pytest.mark.parametrize(("data", "why"), [(b'{"a": 1}', "it has no serial"), (b"torn {", "it is no JSON")])
async def test_a_current_state_that_is_none_ends_the_phase_and_says_so(
    data: bytes, why: str, place: Place, api: FakeApi, spawner: Spawner
) -> None:
    api.versions.append(Version("sv-odd", 1, "", hashlib.md5(data).hexdigest(), False, data))
    result = await ended(phase := await spawner.launch(place.spec("plan", PAUSED), outlives_worker=False))
    assert (result.outcome, result.reason, result.steps) == ("errored", "state", ())
    assert f"The workspace's current state, sv-odd, is no Terraform state: {why}. Go back" in log(phase.control)


@pytest.mark.parametrize("token", ["", "wrong"])
async def test_a_token_refused_at_the_start_ends_the_phase(
    place: Place, spawner: Spawner, api: FakeApi, token: str
) -> None:
    spec = replace(place.spec("plan", PAUSED), token=token)
    result = await ended(await spawner.launch(spec, outlives_worker=False))
    assert (result.outcome, result.reason) == ("errored", "state")
    assert "refused the run's token" in result.message

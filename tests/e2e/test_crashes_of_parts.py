"""PostgreSQL killed under a plan and an apply; web, Valkey and PostgreSQL killed while somebody confirms."""

from __future__ import annotations

import os
import secrets
import signal
import threading
from collections.abc import Iterator

import httpx2
import pytest

from tests.e2e.site import OneRun, Site, plain, steps
from tests.e2e.test_crashes import FILES, converges, is_up, stops
from tests.e2e.up import Up, eventually
from tests.migrated import migrated
from tests.services.postgresql import PostgreSQL

PLAN_OF_SECONDS = 'resource "terraform_data" "one" { input = bcrypt("x", 14) }\n'


@pytest.fixture(scope="module")
def database() -> Iterator[PostgreSQL]:
    """One to be killed, which keeps what it has answered."""
    database = PostgreSQL(synchronous_commit="on")
    yield database
    database.stop()


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory, database: PostgreSQL) -> Iterator[Up]:
    """One for all: what was killed under it has come back, and the next test finds it whole."""
    up = Up(tmp_path_factory.mktemp("parts") / "data", STATEROOM_DATABASE_URL=database.copy(migrated, "migrated"))
    try:
        yield up.wait_until_ready()
        stops(up)
    finally:
        up.end()


@pytest.fixture
def site(up: Up) -> Site:
    site = Site(up)
    assert eventually(lambda: is_up(site)), up.said()[-4000:]
    return site


@pytest.fixture
def workspace(site: Site) -> str:
    return site.make_workspace(f"crashes-{secrets.token_hex(4)}")


def test_a_plan_under_a_killed_postgresql_is_planned_once(site: Site, workspace: str, database: PostgreSQL) -> None:
    run = site.start(workspace, {"main.tf": PLAN_OF_SECONDS})
    reader = run.follow("plan").until("Terraform v1.11.4")
    database.crash()
    assert eventually(lambda: status(run) not in (None, "plan_queued", "planning")), site.up.said()[-4000:]
    assert status(run) == "planned", plain(reader.seen)
    assert plain(reader.whole()).count(b"Plan: 1 to add") == 1
    site.call("POST", f"/runs/{run.id}/actions/discard")


def test_an_apply_under_a_killed_postgresql_ends_whole(site: Site, workspace: str, database: PostgreSQL) -> None:
    run = site.start(workspace, FILES, auto_apply=True)
    run.follow("apply").until("(local-exec): begun")
    site.open_gate()
    database.crash()
    converges(site, workspace, run)


@pytest.mark.parametrize("who", ["web", "valkey", "postgresql"])
def test_a_confirm_under_a_kill_is_one_apply_or_none(
    site: Site, workspace: str, database: PostgreSQL, who: str
) -> None:
    run = site.start(workspace, steps("echo made"))
    run.wait("planned")
    confirming = threading.Thread(target=confirm, args=(run,))
    confirming.start()
    if who == "postgresql":
        database.crash()
    else:
        os.kill(site.up.children()[who], signal.SIGKILL)
    confirming.join()
    assert eventually(lambda: is_heard(run)), site.up.said()[-4000:]
    assert eventually(lambda: status(run) == "applied"), site.up.said()[-4000:]
    assert plain(run.follow("apply").whole()).count(b"(local-exec): made\n") == 1
    assert site.resources(workspace) == ["step0"]
    assert eventually(lambda: not site.is_locked(workspace))


def confirm(run: OneRun) -> None:
    """Whatever comes of it: an answer may be lost, or be that a part is away."""
    headers = {"authorization": f"Bearer {run.site.token}"}
    try:
        answer = run.site.http.post(f"/api/v2/runs/{run.id}/actions/apply", headers=headers)
    except httpx2.TransportError:
        return
    assert answer.status_code in (202, 409, 503), answer.text


def is_heard(run: OneRun) -> bool:
    """Whoever confirmed and was not heard says it again."""
    if status(run) == "planned":
        confirm(run)
    return status(run) not in (None, "planned")


def status(run: OneRun) -> str | None:
    """None while that cannot be said."""
    headers = {"authorization": f"Bearer {run.site.token}"}
    try:
        answer = run.site.http.get(f"/api/v2/runs/{run.id}", headers=headers)
    except httpx2.TransportError:
        return None
    assert answer.status_code in (200, 503), answer.text
    return str(answer.json()["data"]["attributes"]["status"]) if answer.status_code == 200 else None

"""`stateroom runs` and `stateroom queue`, as who operates an installation calls them."""

from __future__ import annotations

import asyncio
import json
import platform
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

import pytest

from app.cli import queue as queue_command
from app.cli import runs as runs_command
from app.jobs import claims, workers
from app.runs.models import Run
from app.settings import Settings
from tests import factories
from tests.integration.cli.commands import stateroom
from tests.integration.crowd import crowd
from tests.services import Parts
from tests.services.releases import terraform

TOOLS = {"terraform/1.11.4"}


async def said(settings: Settings, parts: Parts, *arguments: str) -> str:
    environment = {**parts.environment, "STATEROOM_KEYS_FILE": str(settings.data_dir / "keys.json")}
    command = asyncio.to_thread(stateroom, *arguments, "--data", str(settings.data_dir), **environment)
    done = await command
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.usefixtures("opened")
async def test_runs_are_listed_newest_first_with_why_they_wait() -> None:
    organization = await factories.make_organization("acme")
    workspace = await factories.make_workspace(organization, "net")
    first = await factories.make_run(workspace, message="first")
    second = await factories.make_run(workspace)
    await factories.make_run()
    found = await runs_command.listed("acme", "net", None, 20)
    assert [run["id"] for run in found] == [second.id, first.id]
    assert found[0]["waiting-for"] == "Waiting for ‘first’, which is plan queued."
    assert [run["id"] for run in await runs_command.listed("acme", None, ["plan_queued"], 20)] == [first.id]


@pytest.mark.usefixtures("opened")
async def test_the_queue_is_shown_in_the_order_of_the_claims() -> None:
    await workers.register("wrk-1", "one", 2, TOOLS)
    organization = await factories.make_organization("acme")
    for priority in (2, 1, 0):
        await crowd(organization, 2, priority=priority)
    running = await claims.claim("wrk-1", TOOLS)
    assert running is not None
    found: dict[str, Any] = await queue_command.gathered(50)
    assert [job["run"] for job in found["running"]] == [running.job.run_id]
    assert found["waiting-count"] == 5
    shown = [job["run"] for job in found["waiting"]]
    taken = []
    while (claimed := await claims.claim("wrk-1", TOOLS)) is not None:
        taken.append(claimed.job.run_id)
    assert shown == taken


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_both_commands_speak_to_people_and_to_programs(opened: Settings, parts: Parts) -> None:
    run = await factories.make_run(message="a message\n\x1b[31mwith a trap")
    listed = await said(opened, parts, "runs")
    assert run.id in listed
    assert "\x1b" not in listed
    assert json.loads(await said(opened, parts, "runs", "--json"))[0]["id"] == run.id
    shown = await said(opened, parts, "queue")
    assert run.id in shown
    assert "No worker" in shown
    assert json.loads(await said(opened, parts, "queue", "--json"))["waiting"][0]["run"] == run.id
    refused = await asyncio.to_thread(stateroom, "runs", "--status", "sleeping", "--data", str(opened.data_dir))
    assert refused.returncode == 1
    assert "there is no such status" in refused.stderr
    assert (await Run.get(id=run.id)).status == "plan_queued"


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_an_empty_installation_says_so_and_a_wrong_name_is_no_empty_list(opened: Settings, parts: Parts) -> None:
    async def ended(*arguments: str) -> tuple[int, str, str]:
        place = ("--data", str(opened.data_dir))
        done = await asyncio.to_thread(stateroom, *arguments, *place, **parts.environment)
        return done.returncode, done.stdout, done.stderr

    assert await ended("runs") == (0, "", "No runs yet.\n")
    assert await ended("runs", "--json") == (0, "[]\n", "")
    assert await ended("runs", "--workspace", "nowhere") == (0, "", "No such runs.\n")
    status, listed, said = await ended("runs", "--org", "nobody")
    assert (status, listed) == (1, "")
    assert "nobody" in said
    assert await ended("queue") == (0, "0 workers, 0 slots\n0 running\n0 waiting\n", "")
    shown = json.loads((await ended("queue", "--json"))[1])
    assert shown == {"workers": [], "running": [], "waiting": [], "waiting-count": 0, "pending-count": 0}


@pytest.mark.usefixtures("opened")
async def test_what_is_pending_behind_a_lock_is_counted_beside_what_waits_for_a_worker() -> None:
    workspace = await factories.make_workspace()
    for _ in range(3):
        await factories.make_run(workspace)
    lines = queue_command._lines(await queue_command.gathered(50))
    assert "1 waiting" in lines
    assert lines[-1].startswith("2 pending behind a lock")


@pytest.mark.usefixtures("opened")
async def test_what_the_limit_hides_is_counted() -> None:
    await crowd(await factories.make_organization("acme"), 3)
    lines = queue_command._lines(await queue_command.gathered(2))
    assert lines[2] == "3 waiting"
    assert lines[-1] == "  and 1 more; --limit shows them"


@pytest.mark.usefixtures("opened")
async def test_an_organization_is_deleted_with_what_waits_in_it(settings: Settings, parts: Parts) -> None:
    organization = await factories.make_organization("acme")
    workspace = await factories.make_workspace(organization, "net")
    run = await factories.make_run(workspace, plan_only=True)
    assert "acme was deleted" in await said(settings, parts, "org", "delete", "acme", "--yes")
    await run.refresh_from_db()
    assert run.status == "canceled"
    assert json.loads(await said(settings, parts, "runs", "--json")) == []


def test_the_versions_are_told_without_a_server(tmp_path: Path) -> None:
    place = tmp_path / "tools/terraform"
    for name in ("1.0.3", "0.11.14", "not a version"):
        (place / name).mkdir(parents=True)
        (place / name / "terraform").symlink_to(terraform())
    (place / "1.2.3").mkdir()
    (place / "1.2.4").mkdir()
    (place / "1.2.4/terraform").write_text("#!/bin/sh\n")
    done = stateroom("version", "--json", "--data", str(tmp_path))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["stateroom"] == installed_version("stateroom")
    assert found["python"] == platform.python_version()
    assert [one["version"] for one in found["terraform"]][1:] == ["1.0.3"]  # after the one on PATH
    assert found["opentofu"] == []
    assert [(Path(one["path"]).name, one["why"]) for one in found["left-out"]] == [
        (terraform().name, "0.11.14 is too old to carry out runs"),
        ("1.2.3", "there is no terraform in it"),
        ("terraform", "no program that runs can be given: not executable, or only a script"),
        ("not a version", "its name is no exact version"),
    ]
    lines = stateroom("version", "--data", str(tmp_path)).stdout.splitlines()
    assert [line for line in lines if f"(it says it is {found['terraform'][0]['version']})" in line] == [lines[3]]
    assert lines[4].split() == ["opentofu", "none", "here"]
    assert lines[-1].startswith("left out")

"""A worker's slots with real terraform in a real sandbox, beside a small state API over the real domain."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from app import bell, events, ids, runs, wiring
from app import settings as settings_module
from app.access.actors import SYSTEM
from app.execution import recovery
from app.execution.slot import Doorbell, Gate, Slot
from app.execution.station import Station
from app.execution.work import Work
from app.jobs import workers
from app.runs import RunOptions, lifecycle, logs, wishes
from app.runs.models import Run
from app.settings import Settings
from app.states.models import StateVersion
from app.storage import database, keys, objects, streams
from app.storage.models import StoredObject
from app.worker import stationed
from app.workspaces.models import Workspace
from tests import factories
from tests.integration.execution.state_api import serving
from tests.migrated import migrated
from tests.services import Parts

PATIENCE = 180


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


@pytest.fixture
def settings(parts: Parts, tmp_path: Path, listener: socket.socket) -> Settings:
    return settings_module.load(
        data_dir=tmp_path / "data",
        database_url=parts.prepared(migrated, "migrated"),
        redis_url=parts.redis_url,
        objects_url=parts.objects_url,
        objects_options=parts.objects_options,
        external_url="https://tfe.example.com",
        internal_url=f"http://127.0.0.1:{listener.getsockname()[1]}",
        worker_slots=2,
        lease_renew=0.3,
        lease_stop=2,
        lease_expire=3,
        force_cancel_cooloff=0,
        idle_poll=0.2,
    )


@pytest.fixture
async def opened(settings: Settings, listener: socket.socket) -> AsyncIterator[Settings]:
    url = settings.redis_url.reveal() if settings.redis_url else None
    async with database.connected(settings):
        await keys.open_ring(settings)
        objects.connect(settings)
        await bell.connect(url)
        await streams.connect(url)
        wiring.connect()
        async with serving(settings, listener):
            yield settings
        await streams.close()
        await bell.close()
        objects.close()
        keys.use(None)
    for announcement in (events.run_moved, events.run_wished, events.workspace_freed, events.state_changed):
        announcement.forget()


@dataclass
class Crew:
    """A worker of two slots inside the test's own process."""

    station: Station
    slots: list[Slot]
    bell: Doorbell
    gate: Gate
    adopted: list[Work]

    def ring(self) -> None:
        self.bell.ring()


@asynccontextmanager
async def working(settings: Settings, worker_id: str | None = None) -> AsyncIterator[Crew]:
    async with stationed(settings, worker_id or ids.new("worker")) as station:
        assert station.problem is None
        await workers.register(station.worker_id, station.name, 2, station.releases)
        doorbell, gate = Doorbell(), Gate()
        slots = [Slot(number, station, doorbell, gate) for number in range(2)]
        adopted = await recovery.come_back(station)
        tasks = [asyncio.create_task(slot.run(adopted[slot.number : slot.number + 1])) for slot in slots]

        def nudge(run_id: str) -> None:
            for slot in slots:
                slot.nudge(run_id)

        url = settings.redis_url.reveal() if settings.redis_url else None
        tasks.append(asyncio.create_task(wishes.listen(url, nudge)))
        events.when_run_moves(lambda _: doorbell.ring())
        try:
            yield Crew(station, slots, doorbell, gate, adopted)
        finally:
            gate.is_closing = True
            for task in tasks:
                task.cancel()
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome


@pytest.fixture
async def crew(opened: Settings) -> AsyncIterator[Crew]:
    async with working(opened) as crew:
        yield crew


async def start(files: Mapping[str, str], workspace: Workspace | None = None, **options: object) -> Run:
    workspace = workspace or await factories.make_workspace(terraform_version="1.11.4")
    version = await factories.make_configuration_version(workspace, files=files)
    return await runs.create(SYSTEM, workspace, version, RunOptions(**options))  # type: ignore[arg-type]


async def rested(run: Run, phase: str | None = None) -> Run:
    """*run* when it waits for a person or has ended, and the log of *phase* (the plan's) is closed."""
    async with asyncio.timeout(PATIENCE):
        while True:
            await run.refresh_from_db()
            confirmable = lifecycle.is_confirmable(run)
            if (confirmable and phase != "apply") or lifecycle.is_final(run):
                break
            await asyncio.sleep(0.02)
        await whole_log(run, phase or "plan")
    return run


async def whole_log(run: Run, phase: str = "plan") -> str:
    """The phase's log to its end, read as a client reads it."""
    phase_id = ids.plan_id(run.id) if phase == "plan" else ids.apply_id(run.id)
    found = bytearray()
    async with asyncio.timeout(PATIENCE):
        while not found.endswith(b"\x03"):
            found += await logs.read(phase_id, len(found), 65536, hold=1)
    assert found[:1] == b"\x02"
    return found[1:-1].decode()


async def cleared(settings: Settings) -> None:
    """Returns when no phase has a directory any more: the last thing a phase does is to remove its own."""
    async with asyncio.timeout(PATIENCE):
        while os.listdir(settings.data_dir / "runs"):  # noqa: ASYNC110 (a directory tells nobody)
            await asyncio.sleep(0.02)


async def read(stored: StoredObject | None) -> bytes:
    assert stored is not None
    return await objects.read(stored)


async def outputs(workspace: Workspace) -> dict[str, object]:
    """The outputs of the workspace's current state."""
    fresh = await Workspace.get(id=workspace.id)
    version = await StateVersion.get(id=fresh.current_state_version_id).select_related("content")
    return {name: output["value"] for name, output in json.loads(await read(version.content))["outputs"].items()}


async def until_log_says(run: Run, text: str, phase: str = "plan") -> None:
    """Returns when the phase's log holds *text*: terraform has got so far."""
    phase_id = ids.plan_id(run.id) if phase == "plan" else ids.apply_id(run.id)
    found = b""
    async with asyncio.timeout(PATIENCE):
        while text.encode() not in found:
            piece = await logs.read(phase_id, len(found), 65536, hold=1)
            assert not piece.endswith(b"\x03"), (found + piece).decode()
            found += piece


#: A plan that cannot be stopped gently while `state_api.holding` is set: it reads what is not answered.
HELD = {
    "main.tf": """
data "terraform_remote_state" "held" {
  backend = "http"
  config  = { address = "http://stateroom.internal/v1/object/held" }
}
resource "terraform_data" "one" {}
"""
}

#: Two resources, one after the other; the second takes a while.
SLOW = {
    "main.tf": """
resource "terraform_data" "first" {}
resource "terraform_data" "second" {
  depends_on = [terraform_data.first]
  provisioner "local-exec" {
    command = "echo has begun; sleep SECONDS; echo has ended"
  }
}
"""
}


def slow(seconds: int) -> dict[str, str]:
    return {name: text.replace("SECONDS", str(seconds)) for name, text in SLOW.items()}


async def state_of(run: Run) -> dict[str, list[dict[str, object]]]:
    """The current state of the run's workspace."""
    workspace = await Workspace.get(id=run.workspace_id)
    version = await StateVersion.get(id=workspace.current_state_version_id).select_related("content")
    state: dict[str, list[dict[str, object]]] = json.loads(await read(version.content))
    return state

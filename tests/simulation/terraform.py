"""A terraform that changes a pretended world resource by resource, under a supervisor that outlives its worker.

Its directory, log, journal and result are real files, so that what the product reads of them is read for real.
"""

from __future__ import annotations

import asyncio
import base64
import fcntl
import hashlib
import json
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, TypeVar

from app import states
from app.access import run_tokens
from app.access.actors import Actor as Caller
from app.errors import NotFound, StateroomError, Unauthenticated, Unavailable
from app.states import NewState
from app.storage import objects
from app.supervisor import client, control
from app.supervisor.client import CannotLaunch
from app.supervisor.control import ControlDirectory
from app.supervisor.spec import PLAN_FILE, Result, Spec, StateResult
from app.supervisor.statefile import state_path
from app.workspaces.models import Workspace
from tests.simulation.actors import Actor, border
from tests.simulation.database import edge

T = TypeVar("T")


@dataclass
class Done:
    """What one apply did to the world, whatever became of the news of it."""

    workspace_id: str
    machine: Machine
    resources: list[str] = field(default_factory=list)
    executions: int = 0
    #: MD5 of the last state terraform wrote; empty before the first.
    state: str = ""
    log: bytes = b""

    def is_gone_with_its_machine(self, status: str) -> bool:
        """Whether nobody can ask what of it was not told before; an apply that succeeded told everything."""
        return self.machine.is_lost and status != "applied"


@dataclass
class World:
    """Everything terraform has ever done, by run."""

    chance: Random
    applied: dict[str, Done] = field(default_factory=dict)
    has_trouble: bool = True


@dataclass(eq=False)
class Machine:
    """A data directory, and the supervisors that live on it."""

    name: str
    directory: Path
    world: World
    new_actor: Callable[[str], Actor]
    worker: Actor | None = None
    #: Whether no worker ever starts here again.
    is_lost: bool = False
    supervisors: dict[str, Supervisor] = field(default_factory=dict)

    @property
    def living(self) -> list[Supervisor]:
        return [one for one in self.supervisors.values() if not one.ended.is_set()]


class Spawner:
    """Launches supervisors for one life of a worker."""

    def __init__(self, machine: Machine, worker: Actor) -> None:
        self._machine, self._worker = machine, worker

    async def launch(self, spec: Spec, *, outlives_worker: bool) -> Handle:
        if await edge("launch a supervisor") is not None:
            raise CannotLaunch("The spawner could not be started (simulated).")
        supervisor = Supervisor(self._machine, spec, None if outlives_worker else self._worker)
        self._machine.supervisors[spec.directories.control] = supervisor
        supervisor.begin()
        return Handle(supervisor, self._worker)


def adopt(machines: list[Machine], directory: Path) -> Handle | None:
    """`app.supervisor.client.adopt`: the supervisor of that directory, if it is alive."""
    if not control.is_supervised(directory):
        return None
    for machine in machines:
        found = machine.supervisors.get(str(directory))
        if found is not None and machine.worker is not None:
            return Handle(found, machine.worker)
    return None


class Handle:
    """What a worker has of a supervisor (`app.supervisor.client.Phase`)."""

    def __init__(self, supervisor: Supervisor, worker: Actor) -> None:
        self._supervisor, self._worker = supervisor, worker
        self.control = Path(supervisor.spec.directories.control)
        self.pid = os.getpid()

    async def wait(self) -> Result:
        await self._supervisor.ended.wait()
        await border("hear that a supervisor has ended")
        return client.result_of(self.control)

    def interrupt(self) -> None:
        self._worker.when_awake(self._supervisor.interrupt)

    def kill(self) -> None:
        self._worker.when_awake(self._supervisor.kill)

    def abandon(self) -> None:
        self._worker.when_awake(self._supervisor.let_go)


class Poke:
    """In place of `following.Poke`: one that is never lost, so that nobody need look every quarter of a second."""

    known: dict[str, set[Poke]] = {}

    def __init__(self, directory: Path) -> None:
        self._key, self._heard = str(directory), asyncio.Event()
        self.known.setdefault(self._key, set()).add(self)

    async def wait(self, seconds: float) -> None:
        await self._heard.wait()
        self._heard.clear()

    def ring(self) -> None:
        self._heard.set()

    def close(self) -> None:
        self.known[self._key].discard(self)


class Ended(Exception):
    """The supervisor goes down with its worker."""


class Supervisor:
    def __init__(self, machine: Machine, spec: Spec, worker: Actor | None) -> None:
        self.spec, self.machine, self.worker = spec, machine, worker
        self.world, self.chance = machine.world, machine.world.chance
        self.run_id = spec.environment["TFC_RUN_ID"]
        self.path = Path(spec.directories.control)
        self.actor = machine.new_actor(f"{machine.name}/{spec.phase}-{self.run_id[4:8]}")
        self.ended, self._stopped = asyncio.Event(), asyncio.Event()
        self.is_killed = self.is_let_go = self.is_refused = False
        self._directory = ControlDirectory(self.path)
        self._base: dict[str, Any] | None = None
        self._base_id: str | None = None
        self._state: dict[str, Any] | None = None
        self._content = b""
        self._ignores = self.world.has_trouble and self.chance.random() < 0.1

    @property
    def is_apply(self) -> bool:
        return self.spec.phase == "apply"

    def begin(self) -> None:
        self._directory.claim(self.spec)
        self.actor.begin(self._live())

    def interrupt(self) -> None:
        self._stopped.set()

    def kill(self) -> None:
        self.is_killed = True
        self._stopped.set()

    def let_go(self) -> None:
        if not self.is_apply:
            self.is_let_go = True

    def die(self) -> None:
        """As by kill -9: its lock is the kernel's to free, its files stay as they are."""
        self.actor.die()
        self._close()

    async def _live(self) -> None:
        try:
            result = await self._carry_out()
            self._say(f"{self.spec.phase} {result.outcome}\n")
            self._directory.finish(result)
        except Ended:
            pass
        self._close()

    def _close(self) -> None:
        if self._directory._lock is not None:
            fcntl.flock(self._directory._lock, fcntl.LOCK_UN)
            os.close(self._directory._lock)
            self._directory._lock = None
        self.ended.set()
        self._poke()

    def _poke(self) -> None:
        for poke in Poke.known.get(str(self.path), ()):
            poke.ring()

    def _say(self, text: str) -> None:
        with (self.path / control.LOG).open("ab") as file:
            file.write(text.encode())
        if self.is_apply:
            self._done.log += text.encode()
        self._poke()

    async def _works(self, what: str, seconds: float = 0.0) -> None:
        """One border of terraform's own; a plan notices there that its worker has gone."""
        await border(what)
        if self.worker is not None and (self.worker.is_dead or self.is_let_go):
            raise Ended
        if seconds:
            await self._sleep(seconds)

    async def _sleep(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopped.wait()
                if self._ignores and not self.is_killed:
                    await asyncio.Event().wait()
        except TimeoutError:
            pass
        if self.worker is not None and (self.worker.is_dead or self.is_let_go):
            raise Ended

    async def _carry_out(self) -> Result:
        if self.is_apply:
            self._done.executions += 1
        self._say(f"{self.spec.phase} of {self.run_id}\n")
        await self._works("terraform begins")
        try:
            await self._fetch()
        except StateroomError as error:
            self._say(f"Error: {error}\n")
            return Result("errored", "state", str(error))
        if self._stops():
            return self._ended_early()
        return await (self._apply() if self.is_apply else self._plan())

    def _stops(self) -> bool:
        return self._stopped.is_set() and (self.is_killed or not self._ignores)

    def _ended_early(self, state: StateResult | None = None) -> Result:
        made = partial(Result, "canceled", interrupted=True, state=state or StateResult(self._base_id))
        if self.is_refused:
            return made("token-refused")
        return made("killed" if self.is_killed else "interrupted")

    @property
    def _done(self) -> Done:
        return self.world.applied.setdefault(self.run_id, Done(self.spec.workspace.id, self.machine))

    async def _plan(self) -> Result:
        for _ in range(self.chance.randint(1, 2)):
            await self._works("terraform plans", self.chance.choice((0.1, 3, 20)))
            self._say("planning\n")
            if self._stops():
                return self._ended_early()
        if self.world.has_trouble and self.chance.random() < 0.08:
            return Result("errored", state=StateResult(self._base_id))
        self._write_plan()
        has_changes = self.chance.random() < 0.85 or not self.world.has_trouble
        return Result("finished", has_changes=has_changes, state=StateResult(self._base_id))

    def _write_plan(self) -> None:
        Path(self.spec.directories.out, PLAN_FILE).write_bytes(b"plan of " + self.run_id.encode())

    async def _apply(self) -> Result:
        outcome = "finished"
        for number in range(self.chance.randint(1, 3)):
            await self._works("terraform changes", self.chance.choice((0.1, 2, 12)))
            if self._stops():
                break
            if self.world.has_trouble and self.chance.random() < 0.1:
                outcome = "errored"
                break
            self._change(f"r{self.run_id[4:12]}-{number}")
            if self.chance.random() < 0.5:
                await self._send(intermediate=True)
            else:
                await self._sign()
        state = await self._save()
        return self._ended_early(state) if self._stops() else Result(outcome, state=state)  # type: ignore[arg-type]

    def _change(self, name: str) -> None:
        base = (
            self._state or self._base or {"lineage": f"lineage-{self.spec.workspace.id}", "serial": 0, "resources": []}
        )
        resource = {
            "mode": "managed",
            "type": "terraform_data",
            "name": name,
            "provider": 'provider["terraform.io/builtin/terraform"]',
            "instances": [{"attributes": {}}],
        }
        self._state = {
            "version": 4,
            "terraform_version": "1.11.4",
            "serial": base["serial"] + 1 if self._state is None else base["serial"],
            "lineage": base["lineage"],
            "resources": [*base["resources"], resource],
        }
        if self._content:
            self._state["serial"] += 1
        self._content = json.dumps(self._state).encode() + b"\n"
        place = Path(self.spec.directories.state, state_path(self.spec.workspace.name))
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(self._content)
        control.write_whole(self.path / control.JOURNAL, self._content, lasting=False)
        self._done.resources.append(name)
        self._done.state = hashlib.md5(self._content, usedforsecurity=False).hexdigest()
        self._say(f"{name}: Creation complete after 1s\n")

    # The API, with the run's token

    async def _fetch(self) -> None:
        found = await self._patiently(self._current)
        if self.spec.state_version is not None and self.spec.state_version != (self._base_id or ""):
            raise NotFound("The plan was made on another state version: plan again.")
        self._base = json.loads(found) if found else None

    async def _current(self) -> bytes:
        caller, workspace = await self._authenticated()
        try:
            version = await states.current(caller, workspace)
        except NotFound:
            return b""
        stored = await states.content(version.id)
        content = await objects.read(stored)
        self._base_id = version.id
        return content

    async def _authenticated(self) -> tuple[Caller, Workspace]:
        caller = await run_tokens.authenticate(self.spec.token)
        workspace = await Workspace.filter(id=self.spec.workspace.id, deleted_at=None).first()
        if workspace is None:
            raise NotFound("There is no such workspace.")
        return caller, workspace

    async def _patiently(self, call: Callable[[], Awaitable[T]]) -> T:
        for _ in range(20):
            try:
                return await call()
            except Unavailable:
                await asyncio.sleep(3)
                if self.is_killed:
                    break
        raise NotFound("The API has been away for too long.")

    async def _sign(self) -> None:
        """A sign of life; a token that is refused interrupts."""
        try:
            await self._authenticated()
        except Unauthenticated:
            self.is_refused = True
            self._stopped.set()
        except StateroomError:
            pass

    async def _send(self, *, intermediate: bool) -> str:
        """The state to the API; why not, if it is not taken."""
        try:
            caller, workspace = await self._authenticated()
            await states.create(caller, workspace, self._new(intermediate))
        except Unauthenticated as error:
            self.is_refused = True
            self._stopped.set()
            return str(error)
        except StateroomError as error:
            if isinstance(error, Unavailable) and not intermediate:
                raise
            return str(error)
        return ""

    def _new(self, intermediate: bool) -> NewState:

        assert self._state is not None
        return NewState(
            serial=self._state["serial"],
            md5=self._done.state,
            lineage=self._state["lineage"],
            intermediate=intermediate,
            state=base64.b64encode(self._content).decode(),
        )

    async def _save(self) -> StateResult:
        if self._state is None:
            return StateResult(self._base_id)
        await self._works("terraform saves its state")
        try:
            why = (
                "The token is refused."
                if self.is_refused
                else await self._patiently(lambda: self._send(intermediate=False))
            )
        except NotFound as error:
            why = str(error)
        left = str(self.path / control.JOURNAL) if why else None
        return StateResult(
            self._base_id, serial=self._state["serial"], lineage=self._state["lineage"], left=left, why=why
        )

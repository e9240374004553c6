"""One seed's history: who goes on when, what fails, and when time passes; then rest, and a last look."""

from __future__ import annotations

import asyncio
import shutil
import sys
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, MutableMapping
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from tempfile import mkdtemp
from typing import Any
from unittest import mock

import structlog

from app import clock, events, ids, measures, runs, wiring, workspaces
from app import settings as settings_module
from app.access import run_tokens
from app.access.actors import Actor as Caller
from app.access.models import Membership, User
from app.configurations.models import ConfigurationVersion
from app.errors import StateroomError, Unavailable
from app.execution import following, recovery
from app.execution.releases import Release
from app.execution.station import Station
from app.execution.toolbox import Toolbox
from app.organizations.models import Organization
from app.runs import RunOptions, lifecycle, logs
from app.runs.models import Run
from app.settings import Settings
from app.states import verification
from app.storage import database, keys, migrating, objects
from app.supervisor import client
from app.worker import CHORES, Worker, _every
from app.workspaces.models import Workspace
from tests import factories
from tests.simulation import invariants, terraform
from tests.simulation.actors import Actor, ActorClock, Crowd, Waiter
from tests.simulation.database import (
    ANY,
    Borders,
    Fault,
    Looks,
    OnPostgreSQL,
    OnSQLite,
    bordered,
    elsewhere,
    inline,
    loop,
)
from tests.simulation.edges import Edges, Objects, Streams, Words
from tests.simulation.invariants import Broken, Watchman
from tests.simulation.lean import lean
from tests.simulation.observing import Sight, look
from tests.simulation.people import Person, Reading
from tests.simulation.terraform import Machine, Spawner, World

VERSION = "1.11.4"
#: What a person does and what goes wrong in one history, and how many steps it may take at most.
DEEDS, FAULTS, STEPS = 6, 4, 400
#: How often at a step.
ACTS, STRIKES = 0.08, 0.03
#: Chores about commits and checks, of which there are none here.
IDLE = {
    "look for what GitHub did not tell",
    "tell GitHub what is owed to it",
    "follow runs that checks lost sight of",
    "forget commits nobody uses",
}
#: How often chores are done at most, in virtual seconds: most of a history would be looks that find nothing.
SELDOM = 20.0
#: The seed of what came before every history, and when that began, in virtual seconds: it is over before 0.
BEFORE, BEGAN = -1, -1000.0
#: Where files cost no disk.
SHARED_MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
#: Virtual seconds within which everything is at rest again once nothing fails any more.
CONVERGES = 400.0


@dataclass
class Stage:
    """What all histories of a process share: the database at its beginning, and who is in it."""

    settings: Settings
    looks: Looks
    borders: Borders = field(default_factory=Borders)
    edges: Edges = field(default_factory=Edges)
    callers: list[tuple[Caller, str]] = field(default_factory=list)
    bytes: dict[str, Any] = field(default_factory=dict)
    mishaps: list[str] = field(default_factory=list)


@dataclass
class Ground:
    """A database and a directory of this process's own, filled once: where every history begins."""

    url: str = "sqlite://:memory:"
    is_migrated: bool = False
    directory: Path = field(default_factory=lambda: Path(mkdtemp(prefix="stateroom-simulation-", dir=SHARED_MEMORY)))
    stage: Stage | None = None

    @property
    def database(self) -> str:
        return "sqlite" if self.url.startswith("sqlite") else "postgresql"

    def close(self) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)


@asynccontextmanager
async def staged(ground: Ground) -> AsyncIterator[Stage]:
    """The product in place over *ground*, its edges made up.  One loop's."""
    made = ground.stage or Stage(_settings(ground), OnSQLite() if ground.database == "sqlite" else OnPostgreSQL())
    with ExitStack() as stack:
        for part in (lean(), inline(), bordered(made.borders), made.edges.in_place(), _overhearing(made)):
            stack.enter_context(part)
        # Between two tests of one process the settings are forgotten.
        stack.enter_context(mock.patch.object(settings_module, "_current", made.settings))
        stack.enter_context(mock.patch.object(following, "Poke", terraform.Poke))
        stack.enter_context(mock.patch.object(measures, "text", return_value=""))
        with elsewhere():
            await database.connect(made.settings)
            await database.ping()
        try:
            with elsewhere():
                if ground.stage is not None:
                    await made.looks.back()
                elif not ground.is_migrated:
                    await migrating.migrate(made.settings)
                await keys.open_ring(made.settings)
                wiring.connect()
                if ground.stage is None:
                    await _fill(made)
            if ground.stage is None:
                await History(made, BEFORE).lead_up()
                ground.stage = made
            yield made
        finally:
            for told in (events.run_moved, events.run_wished, events.workspace_freed, events.state_changed):
                told.forget()
            objects.close()
            keys.use(None)
            with elsewhere():
                await database.close()


def _settings(ground: Ground) -> Settings:
    return settings_module.load(
        data_dir=ground.directory,
        database_url=ground.url,
        objects_url=f"file://{ground.directory}/objects",
        worker_slots=2,
        adoption_wait=60,
        force_cancel_cooloff=10,
        idle_poll=10,
    )


async def _fill(made: Stage) -> None:
    made.edges.objects = Objects()
    made.edges.words, made.edges.streams = Words(Random(0), is_lossy=False), Streams()
    objects._store = made.edges.objects
    with numbered(Random(0)):
        await _populate(made)
    made.bytes = dict(made.edges.objects.stored)
    await made.looks.keep()


@contextmanager
def numbered(chance: Random) -> Iterator[None]:
    """Ids by *chance*, so that a seed's history is the same in every process."""

    def suffix() -> str:
        return "".join(chance.choices(ids._SYMBOLS, k=ids.SUFFIX_LENGTH))

    with mock.patch.object(ids, "random_suffix", suffix):
        yield


async def _populate(made: Stage) -> None:
    people = [await factories.make_user() for _ in range(2)]
    for number in range(2):
        organization = await factories.make_organization(owner=people[number])
        for user in people[:number] + people[number + 1 :]:
            await _join(organization, user)
        home = await factories.make_workspace(organization, terraform_version=VERSION)
        await factories.make_configuration_version(home)
    made.callers = [(await factories.actor_of(user), user.id) for user in people]


async def _join(organization: Organization, user: User) -> None:
    await Membership.create(
        id=ids.new("organization_membership"), organization_id=organization.id, user_id=user.id, created_at=clock.now()
    )


class _overhearing:
    """What the product logs as an error of its own is one of ours here too."""

    def __init__(self, made: Stage) -> None:
        self._made = made

    def __enter__(self) -> None:
        self._before = structlog.get_config()

        def hear(_: Any, method: str, message: MutableMapping[str, Any]) -> Any:
            if message.get("exc_info"):
                error = sys.exc_info()[1]
                if not isinstance(error, StateroomError):
                    self._made.mishaps.append(f"{message['event']}: {traceback.format_exc()}")
            raise structlog.DropEvent

        structlog.configure(processors=[hear], wrapper_class=structlog.BoundLogger, cache_logger_on_first_use=False)

    def __exit__(self, *_: object) -> None:
        structlog.configure(**self._before)


async def _whole(phase_id: str) -> bytes:
    found = b""
    while piece := await logs.read(phase_id, len(found), 1 << 20):
        found += piece
    return found


class SimulatedWorker(Worker):
    """The real one; only how it hears bells, wishes and signals is made up."""

    def __init__(self, station: Station, actor: Actor, words: Words, chance: Random) -> None:
        super().__init__(station)
        self._chance = chance
        words.bells[actor] = self._bell.ring
        words.wishes[actor] = self._nudge

    def _listen_to_signals(self) -> None:
        pass

    def _around(self) -> Any:
        yield _every(self._settings.lease_renew, "say that we are there", self._pulse)
        yield _every(self._settings.lease_renew, "end lapsed leases", recovery.Sweeper(self._station).sweep)
        for name, chore in CHORES.items():
            if name not in IDLE:
                yield self._from_time_to_time(max(chore.every, SELDOM), name, chore.do)

    async def _from_time_to_time(self, seconds: float, name: str, do: Callable[[], Awaitable[object]]) -> None:
        """Some time after the start, so that not every life begins with all of them at once."""
        await asyncio.sleep(self._chance.uniform(0, seconds))
        await _every(seconds, name, do)

    def stop(self) -> None:
        self._stop()


def worker_id(machine: Machine) -> str:
    return f"wrk-{machine.name}"


class History:
    def __init__(self, made: Stage, seed: int, *, long: int = 1) -> None:
        self.seed, self._stage, self._chance = seed, made, Random(seed)
        self._crowd = Crowd()
        self._everyone: list[Actor] = []
        self.steps: list[tuple[float, str, str]] = []
        self._deeds, self._faults = DEEDS * long, FAULTS * long
        self._most = STEPS * long
        self._has_faults = True
        self._stickiness = self._chance.choice((0.2, 0.6, 0.9))
        self._patience = self._chance.choice((0.02, 0.1, 0.3))
        self._last: Actor | None = None
        self.sight = Sight()
        self._world = World(Random(seed + 1))
        self._words = Words(Random(seed + 2))
        self._streams, self._objects = Streams(), Objects(stored=dict(made.bytes))
        self._reading = Reading()
        root = made.settings.data_dir / "machines"
        shutil.rmtree(root, ignore_errors=True)
        self._machines = [Machine(f"m{number}", root / f"m{number}", self._world, self._actor) for number in range(2)]
        self._workers: dict[Machine, SimulatedWorker] = {}
        self._people = [
            Person(self._actor(f"person{number}"), caller, user_id, self._chance, self._reading)
            for number, (caller, user_id) in enumerate(made.callers)
        ]
        self._watchman = Watchman(self._world)

    def _actor(self, name: str) -> Actor:
        made = Actor(name, self._crowd, ActorClock(skew=self._chance.uniform(-3, 3)))
        self._everyone.append(made)  # a dead one's tasks must not be collected while others may still look at them
        return made

    async def run(self) -> None:
        """Live it.  Raises `Broken` with a sentence."""
        async with self._begun(0.0):
            await self._go()
            await self._rest()
            await self._decide()
            await self._last_look()

    async def lead_up(self) -> None:
        """What is there when any history begins: in one workspace a run that waits for its confirmation, in the other
        one whose apply is due.  So faults strike applies too, and not only the plans that lead to them.
        """
        async with self._begun(BEGAN):
            self._as_person(self._create_everywhere())
            await self._rest()
            for machine in self._machines:
                self._part_with(machine)
            self._as_person(self._confirm_one())
            await self._quiet()
            while ready := self._crowd.ready():
                self._let(ready[0])
                await self._quiet()
            found = sorted(run.status for run in self.sight.runs.values())
            invariants.require(found == ["apply_queued", "planned"], f"histories would begin with {found}")
            await self._stage.looks.keep()
        self._stage.bytes = dict(self._objects.stored)

    async def _create_everywhere(self) -> None:
        for workspace in await Workspace.all().order_by("id"):
            version = await ConfigurationVersion.filter(workspace_id=workspace.id).first()
            await runs.create(self._people[0].caller, workspace, version, RunOptions())

    async def _confirm_one(self) -> None:
        run = await Run.filter(status="planned").order_by("id").first()
        assert run is not None
        await runs.confirm(self._people[0].caller, run)

    @asynccontextmanager
    async def _begun(self, at: float) -> AsyncIterator[None]:
        made = self._stage
        made.edges.words, made.edges.streams, made.edges.objects = self._words, self._streams, self._objects
        objects._store = self._objects
        loop().now = at
        run_tokens._life_raised.clear()
        terraform.Poke.known.clear()
        made.mishaps.clear()
        await made.looks.back()
        with (
            numbered(Random(self.seed + 3)),
            mock.patch.object(client, "adopt", lambda directory: terraform.adopt(self._machines, directory)),
        ):
            try:
                made.borders.changed.clear()
                self.sight = self._watchman.before = await look(made.looks, Sight(), {ANY})
                for machine in self._machines:
                    self._start(machine)
                yield
            finally:
                await self._over()

    # Step by step

    async def _go(self) -> None:
        for _ in range(self._most):
            await self._quiet()
            at_work = self._at_work()
            if not self._deeds and not (self._faults and at_work):
                return
            roll = self._chance.random()
            if roll < ACTS and self._deeds:
                self._someone_acts()
            elif roll < ACTS + STRIKES and self._faults and (at_work or self._chance.random() < 0.1):
                self._something_happens()
            else:
                self._someone_goes_on()

    async def _quiet(self) -> None:
        await loop().quiet_moment()
        for machine in self._machines:
            if machine.worker is not None and machine.worker.is_dead:
                self._bury(machine)
        if self._stage.mishaps:
            raise Broken("an error of ours was logged: " + self._stage.mishaps[0])
        self._fetch_errors()
        changed = self._stage.borders.changed
        if changed:
            self.sight = await look(self._stage.looks, self.sight, changed)
            changed.clear()
            doing, worker = (self._last.doing, self._last.worker_id) if self._last else ("", "")
            self._watchman.look(self.sight, doing, worker)

    def _fetch_errors(self) -> None:
        for actor in [person.actor for person in self._people] + [
            supervisor.actor for machine in self._machines for supervisor in machine.supervisors.values()
        ]:
            for task in actor.tasks:
                if task.done() and not task.cancelled() and (error := task.exception()):
                    if isinstance(error, Broken):
                        raise error
                    lines = "".join(traceback.format_exception(error))
                    raise Broken(f"{actor.name} met an error while it was to {actor.doing}: {lines}")
            actor.tasks = [task for task in actor.tasks if not task.done()]

    def _someone_goes_on(self) -> None:
        ready = self._crowd.ready()
        if not ready or self._chance.random() < self._patience / (1 + len(ready)):
            loop().let_time_pass(self._chance.choice((0.5, 2, 10)))
            self._note("time", f"is {loop().now:.1f}")
            return
        mine = [one for one in ready if one.actor is self._last]
        if mine and self._chance.random() < self._stickiness:
            self._let(mine[0])
        else:
            self._let(self._chance.choice(ready))

    def _let(self, waiter: Waiter) -> None:
        self._crowd.waiting.remove(waiter)
        self._last = waiter.actor
        if self._has_faults and self._faults and self._chance.random() < 0.015:
            self._faults -= 1
            kinds = ["error", "answer lost"]
            if waiter.actor in [machine.worker for machine in self._machines]:
                kinds += ["dies", "dies after"]
            waiter.fault = Fault(self._chance.choice(kinds), self._chance.randint(0, 6))
        self._note(waiter.actor.name, waiter.what, waiter.fault)
        if not waiter.future.done():
            waiter.future.set_result(None)

    def _note(self, who: str, what: str, fault: Fault | None = None) -> None:
        self.steps.append((loop().now, f"{who}: {what}", f"  !! {fault.kind} at {fault.at}" if fault else ""))

    def _someone_acts(self) -> None:
        idle = [person for person in self._people if not person.actor.is_busy]
        if not idle:
            return
        person = self._chance.choice(idle)
        if person.thinks(self.sight):
            self._deeds -= 1
            self._note(person.actor.name, person.actor.doing)

    # What happens to them

    def _something_happens(self) -> None:
        self._faults -= 1
        what = self._chance.choice(
            (
                self._kill_worker,
                self._lose_worker,
                self._freeze,
                self._freeze,
                self._kill_supervisor,
                self._jump,
                self._part_away,
                self._stop,
            )
        )
        what()

    def _one_machine(self) -> Machine:
        """Mostly one that is at work: what strikes an idle one breaks little."""
        at_work = self._at_work()
        return self._chance.choices(self._machines, [4 if worker_id(one) in at_work else 1 for one in self._machines])[
            0
        ]

    def _at_work(self) -> set[str]:
        """The workers that have jobs."""
        return {job.worker_id for job in self.sight.jobs.values() if job.closed_at is None and job.worker_id}

    def _kill_worker(self) -> None:
        machine = self._one_machine()
        if machine.worker is not None:
            self._note(machine.worker.name, "is killed")
            machine.worker.die()
            self._bury(machine)

    def _lose_worker(self) -> None:
        """One that never comes back; with its machine, or so that its applies go on without it."""
        machine = self._one_machine()
        if any(one.is_lost for one in self._machines):
            return
        self._part_with(machine)
        if self._chance.random() < 0.5:
            for supervisor in machine.living:
                supervisor.die()

    def _part_with(self, machine: Machine) -> None:
        machine.is_lost = True
        self._note(machine.name, "is lost for good")
        if machine.worker is not None:
            machine.worker.die()
            self._bury(machine)

    def _bury(self, machine: Machine) -> None:
        """Plans go down with their worker; it starts again on the same directory after a while."""
        actor, machine.worker = machine.worker, None
        self._workers.pop(machine, None)
        assert actor is not None
        self._words.bells.pop(actor, None)
        self._words.wishes.pop(actor, None)
        for supervisor in machine.living:
            if not supervisor.is_apply:
                supervisor.die()
        loop().call_later(self._chance.choice((1, 5, 40)), self._start, machine)

    def _start(self, machine: Machine) -> None:
        if machine.worker is not None or machine.is_lost or self._crowd.is_over:
            return
        life = self._actor(f"{machine.name}-{self._chance.randint(10, 99)}")
        life.worker_id = worker_id(machine)
        life.watch.began = self._chance.uniform(0, 1000)
        machine.worker = life
        machine.directory.mkdir(parents=True, exist_ok=True)
        (machine.directory / "runs").mkdir(exist_ok=True)
        settings = self._stage.settings.model_copy(update={"data_dir": machine.directory})
        found = {f"terraform/{VERSION}": Release("terraform", VERSION, Path("/usr/bin/true"))}
        station = Station(
            settings=settings,
            worker_id=life.worker_id,
            name=machine.name,
            spawner=Spawner(machine, life),  # type: ignore[arg-type]
            releases=found,
            toolbox=Toolbox(settings, found, life.worker_id),
        )
        worker = SimulatedWorker(station, life, self._words, self._chance)
        self._workers[machine] = worker
        self._note(life.name, "starts")
        life.begin(self._works(machine, life, worker))

    async def _works(self, machine: Machine, life: Actor, worker: SimulatedWorker) -> None:
        """Its process: one that meets what it cannot bear at its start, or is told to stop, ends and comes again."""
        try:
            await worker.run()
        except Unavailable:
            pass
        except asyncio.CancelledError:
            raise
        except Exception:
            self._stage.mishaps.append(traceback.format_exc())
        life.die()

    def _freeze(self) -> None:
        machine = self._one_machine()
        if machine.worker is not None and not machine.worker.is_frozen:
            self._note(machine.worker.name, "freezes")
            machine.worker.freeze()
            loop().call_later(self._chance.choice((3, 20, 40, 90)), machine.worker.thaw)

    def _kill_supervisor(self) -> None:
        living = [one for machine in self._machines for one in machine.living]
        if living:
            supervisor = self._chance.choice(living)
            self._note(supervisor.actor.name, "is killed")
            supervisor.die()

    def _jump(self) -> None:
        actors = [person.actor for person in self._people]
        actors += [machine.worker for machine in self._machines if machine.worker is not None]
        actor = self._chance.choice(actors)
        actor.watch.skew += self._chance.choice((-3600, -61, -5, 5, 61, 3600))
        self._note(actor.name, f"has its clock off by {actor.watch.skew:.0f} s")

    def _part_away(self) -> None:
        part = self._chance.choice((self._streams, self._objects))
        part.is_away = True
        self._note(type(part).__name__, "is away")

        def back() -> None:
            part.is_away = False

        loop().call_later(self._chance.choice((2, 8, 30)), back)

    def _stop(self) -> None:
        machine = self._chance.choice(self._machines)
        if machine in self._workers and machine.worker is not None:
            self._note(machine.worker.name, "is told to stop")
            machine.worker.when_awake(self._workers[machine].stop)

    # Rest

    async def _rest(self) -> None:
        """Nothing fails any more; time goes on until nothing is left to do."""
        self._has_faults, self._words.is_lossy, self._world.has_trouble = False, False, False
        self._streams.is_away = self._objects.is_away = False
        deadline = loop().now + CONVERGES
        while loop().now < deadline:
            await self._quiet()
            ready = self._crowd.ready()
            if ready:
                self._let(ready[0])
                continue
            if not self._is_anyone_away() and not self._is_anyone_busy() and not invariants.unsettled(self.sight):
                return
            loop().let_time_pass(10)
        left = invariants.unsettled(self.sight) or ["somebody is still busy"]
        raise Broken(f"{CONVERGES:.0f} s after the last fault {'; '.join(left)}")

    def _is_anyone_away(self) -> bool:
        """Whether a worker is still to come back, or to thaw: with claims that may be stale."""
        return any(not one.is_lost if one.worker is None else one.worker.is_frozen for one in self._machines)

    def _is_anyone_busy(self) -> bool:
        return any(person.actor.is_busy for person in self._people) or any(one.living for one in self._machines)

    async def _decide(self) -> None:
        """People say the last word on everything that waits for them: every run reaches its end."""
        for _ in range(12):
            open_runs = [run for run in self.sight.runs.values() if run.status not in lifecycle.FINAL]
            open_runs = [run for run in open_runs if self.sight.workspaces[run.workspace_id].deleted_at is None]
            if not open_runs:
                return
            self._as_person(self._say_the_last_word())
            await self._rest()
        raise Broken(f"{[f'{run.id} {run.status}' for run in open_runs]} never end")

    async def _say_the_last_word(self) -> None:
        person = self._people[0]
        for workspace_id, workspace in self.sight.workspaces.items():
            if workspace.locked_by_user_id is not None:
                person.actor.doing = f"force-unlock {workspace_id}"
                await workspaces.force_unlock(person.caller, await Workspace.get(id=workspace_id))
        for run_id, run in self.sight.runs.items():
            if lifecycle.is_confirmable(run) or lifecycle.is_discardable(run):  # type: ignore[arg-type]
                person.actor.doing = f"end {run_id}"
                with suppress(StateroomError):
                    found = await runs.find(person.caller, run_id)
                    if lifecycle.is_confirmable(found) and self._chance.random() < 0.5:
                        await runs.confirm(person.caller, found)
                    elif lifecycle.is_discardable(found):
                        await runs.discard(person.caller, found)

    def _as_person(self, work: Any) -> None:
        self._people[0].actor.begin(work)

    async def _last_look(self) -> None:
        invariants.kept(self.sight, self._world)
        for workspace_id in self.sight.workspaces:
            verdict = await verification.verify(await Workspace.get(id=workspace_id))
            invariants.require(verdict.problem is None, f"the chain of {workspace_id} is broken: {verdict.problem}")
        for phase_id, phase in self.sight.phases.items():
            if not phase.log_ended:
                continue
            whole = await _whole(phase_id)
            seen = self._reading.seen.get(phase_id, b"")
            invariants.require(whole.startswith(seen), f"the log of {phase_id} is {whole!r}, but somebody saw {seen!r}")
            invariants.require(whole.endswith(b"\x03"), f"the log of {phase_id} has no end: {whole!r}")
            done = self._world.applied.get(phase.run_id) if phase_id.startswith("apply") else None
            run = self.sight.runs[phase.run_id]
            if done is None or done.is_gone_with_its_machine(run.status):
                continue
            if run.force_canceled_at is None and b" was lost" not in whole:
                invariants.require(
                    done.log in whole, f"the log of {phase_id} is {whole!r}, and lacks some of {done.log!r}"
                )

    async def _over(self) -> None:
        """End every task of this history."""
        self._crowd.is_over = True
        me = asyncio.current_task()
        while left := [task for task in asyncio.all_tasks() if task is not me]:
            for task in left:
                task.cancel()
            await loop().quiet_moment()
        for handle in list(loop()._scheduled):  # type: ignore[attr-defined]
            handle.cancel()
        for machine in self._machines:
            for supervisor in machine.living:
                supervisor._close()

    def told(self, last: int = 0) -> str:
        """The history, a line a step; its *last* ones only if that is given."""
        return "\n".join(f"{at:8.1f}  {what[:160]}{fault}" for at, what, fault in self.steps[-last:])

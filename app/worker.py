"""The worker process, put together on one page.

It claims jobs and carries them out in its slots, renews their leases, ends what lost workers left, and does the chores
nobody asks for.  SIGTERM: it claims no more, gives its plans back and waits for its applies.  A second one leaves them
to their supervisors, to be adopted by the next start.  SIGUSR1 interrupts them, as a cancel would.
"""

from __future__ import annotations

import asyncio
import fcntl
import shutil
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

import structlog
import uvloop

from app import bell, clock, configurations, diagnostics, ids, measures, wiring
from app.errors import StateroomError, Unavailable
from app.execution import recovery, releases, waiting_lines
from app.execution.slot import Doorbell, Gate, Slot
from app.execution.station import Station, uid_of
from app.execution.toolbox import Toolbox, read_indexes
from app.jobs import workers
from app.runs import actions, deletion, logs, moves, queue, wishes
from app.settings import Settings
from app.states import history, processing
from app.storage import database, keys, migrating, objects, streams
from app.supervisor import sandbox
from app.supervisor.client import Spawner
from app.supervisor.sandbox import SandboxFailure
from app.vcs import archives
from github_app import checks, client, deliveries, fork_plans, inbox, installations, outbox, reconciling, redelivery

log = structlog.get_logger(__name__)

#: With less room than this a phase could not even write its log.
LEAST_ROOM = 64 * 1024**2


class AlreadyRunning(StateroomError):
    """Another worker lives on this data directory."""


@dataclass(frozen=True, slots=True)
class Chore:
    """Something every worker does from time to time; two may do it at once."""

    every: float
    do: Callable[[], Awaitable[object]]


CHORES = {
    "announce what nobody announced": Chore(30, moves.announce_forgotten),
    "start pending runs": Chore(30, queue.advance_all),
    "discard what was put aside by force": Chore(2, queue.discard_aside),
    "end the runs of deleted workspaces": Chore(30, deletion.end_forgotten),
    "say in logs why they wait": Chore(1, waiting_lines.write),
    "discard saved plans nobody confirmed": Chore(3600, actions.discard_expired),
    "discard saved plans whose state moved": Chore(60, actions.discard_all_stale),
    "end abandoned logs": Chore(5, logs.end_abandoned),
    "give up states whose bytes never came": Chore(60, history.discard_overdue),
    "give up configurations whose archives never came": Chore(3600, configurations.give_up_overdue),
    "read long states": Chore(2, processing.read_waiting),
    "delete states that were given up": Chore(300, history.sweep),
    "look for what GitHub did not tell": Chore(5, reconciling.reconcile_due),
    "plan what was approved of forks": Chore(2, fork_plans.plan_due),
    "find what GitHub could not deliver": Chore(5, redelivery.look_due),
    "look at where the GitHub Apps are installed": Chore(60, installations.refresh_due),
    "tell GitHub what is owed to it": Chore(1, outbox.send),
    "follow runs that checks lost sight of": Chore(30, checks.catch_up),
    "delete what cut uploads left": Chore(3600, objects.sweep),
    "forget commits nobody uses": Chore(600, archives.drop_unused),
    "forget what GitHub told a month ago": Chore(60, inbox.forget_old),
}


def main(settings: Settings) -> None:
    """Carry out jobs until told to stop."""
    diagnostics.configure(settings)
    with alone(settings) as worker_id, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(settings, worker_id))


async def run(settings: Settings, worker_id: str) -> None:
    async with connected(settings), stationed(settings, worker_id) as station:
        await Worker(station).run()


@contextmanager
def alone(settings: Settings) -> Iterator[str]:
    """Hold the data directory against a second worker, and say which worker this directory is."""
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (settings.data_dir / "worker.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunning(
                f"A worker is running on {settings.data_dir} already. Give this one a data directory of its own"
                " (STATEROOM_DATA_DIR)."
            ) from None
        path = settings.data_dir / "worker-id"
        if not path.exists():
            path.write_text(ids.new("worker") + "\n")
        yield path.read_text().strip()


@asynccontextmanager
async def connected(settings: Settings) -> AsyncIterator[None]:
    """Everything a worker talks to, open."""
    url = settings.redis_url.reveal() if settings.redis_url else None
    async with database.connected(settings):
        await migrating.check(settings)
        await keys.open_ring(settings)
        objects.connect(settings)
        if problem := await objects.settle():
            log.error("objects cannot be kept", problem=problem)
        await bell.connect(url)
        await streams.connect(url)
        wiring.connect()
        try:
            yield
        finally:
            await client.close()
            await streams.close()
            await bell.close()
            objects.close()


@asynccontextmanager
async def stationed(settings: Settings, worker_id: str) -> AsyncIterator[Station]:
    """What the slots work with, the spawner running."""
    spawner = Spawner()
    runs = settings.data_dir / "runs"
    runs.mkdir(mode=0o711, parents=True, exist_ok=True)
    _, found, (bwrap, problem) = await asyncio.gather(
        spawner.start(),
        asyncio.to_thread(releases.installed, settings),
        asyncio.to_thread(_sandbox, settings, str(runs)),
    )
    station = Station(
        settings=settings,
        worker_id=worker_id,
        name=socket.gethostname(),
        spawner=spawner,
        releases=found,
        toolbox=Toolbox(settings, found, worker_id),
        bwrap=bwrap,
        problem=problem,
        api_url=settings.internal_url,
        ca_file=str(settings.tls_ca) if settings.tls_ca else None,
    )
    station.schemas.mkdir(mode=0o700, parents=True, exist_ok=True)
    await asyncio.to_thread(station.toolbox.clear)
    try:
        yield station
    finally:
        await spawner.close()


def _sandbox(settings: Settings, below: str) -> tuple[str | None, str | None]:
    """The bwrap to use, or why no run can be confined here; tried by doing it."""
    if settings.sandbox == "none":
        return None, None
    try:
        return sandbox.find(below, uid_of(settings, 0)), None
    except SandboxFailure as failure:
        return None, str(failure)


class Worker:
    def __init__(self, station: Station) -> None:
        self._station = station
        self._settings = station.settings
        self._gate = Gate(problem=station.problem)
        self._bell, self._inbox = Doorbell(), Doorbell()
        station.toolbox.found = self._bell.ring
        self.slots = [self._slot(number) for number in range(self._settings.worker_slots)]

    async def run(self) -> None:
        """Until every slot has ended after a signal to stop."""
        self._listen_to_signals()
        await self._register()
        adopted = await recovery.come_back(self._station)
        self.slots += [self._slot(number) for number in range(len(self.slots), len(adopted))]
        around = [asyncio.ensure_future(task) for task in self._around()]
        working = [asyncio.ensure_future(slot.run(adopted[slot.number : slot.number + 1])) for slot in self.slots]
        log.info("worker ready", worker=self._station.worker_id, slots=len(self.slots), problem=self._gate.problem)
        try:
            await _until_all(working, around)
        finally:
            await _canceled((*working, *around))

    def _slot(self, number: int) -> Slot:
        return Slot(number, self._station, self._bell, self._gate)

    def _around(self) -> Iterator[Coroutine[None, None, None]]:
        url = self._settings.redis_url.reveal() if self._settings.redis_url else None
        yield bell.listen(url, self._heard, idle=lambda: any(slot.is_idle for slot in self.slots))
        yield wishes.listen(url, self._nudge)
        yield _every(self._settings.lease_renew, "say that we are there", self._pulse)
        yield _every(self._settings.lease_renew / 2, "end lapsed leases", recovery.Sweeper(self._station).sweep)
        yield _every(self._settings.idle_poll, "see which versions jobs wait for", self._station.toolbox.look_around)
        yield _every(60, "read the indexes of releases", lambda: read_indexes(self._settings))
        yield _every(1, "process GitHub's deliveries", deliveries.process_waiting, self._inbox)
        for name, chore in CHORES.items():
            yield _every(chore.every, name, chore.do)

    async def _register(self) -> None:
        station = self._station
        await workers.register(
            station.worker_id,
            station.name,
            len(self.slots),
            station.releases,
            self._gate.problem,
            downloads=self._settings.downloads,
        )
        if not station.releases and not self._settings.downloads:
            log.warning(
                "this worker has no Terraform: put it on PATH, or into the tools directory",
                tools=str(self._settings.tools_dir),
            )

    async def _pulse(self) -> None:
        """Say that we live, and why we take nothing if we do not."""
        room = shutil.disk_usage(self._settings.data_dir).free
        full = f"The disk of {self._settings.data_dir} is full; free some space." if room < LEAST_ROOM else None
        problem = self._station.problem or full
        if problem != self._gate.problem:
            log.warning("this worker takes no jobs" if problem else "this worker takes jobs again", why=problem)
        self._gate.problem = problem
        await workers.pulse(self._station.worker_id, self._gate.problem, measures.text())

    def _heard(self) -> None:
        self._bell.ring()
        self._inbox.ring()

    def _nudge(self, run_id: str) -> None:
        for slot in self.slots:
            slot.nudge(run_id)

    # Signals

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._stop)
        loop.add_signal_handler(signal.SIGUSR1, self._interrupt)
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            loop.add_signal_handler(signal.SIGINT, self._stop)

    def _stop(self) -> None:
        """The first time, finish what cannot be given away; the second time, leave it to its supervisor."""
        if self._gate.is_closing:
            for slot in self.slots:
                slot.turn_away()
            return
        self._gate.is_closing = True
        self._bell.ring()
        for slot in self.slots:
            if not slot.is_applying:
                slot.turn_away()
        applies = sum(slot.is_applying for slot in self.slots)
        if applies:
            log.warning(
                "waiting for applies; SIGUSR1 interrupts them, a second SIGTERM leaves them alone",
                applies=applies,
            )

    def _interrupt(self) -> None:
        for slot in self.slots:
            if slot.is_applying and slot.work is not None:
                slot.work.cancel()


async def _every(
    seconds: float, name: str, do: Callable[[], Awaitable[object]], doorbell: Doorbell | None = None
) -> None:
    """Do it now and then, and whenever *doorbell* rings.  That a part we depend on is away is no reason to end, nor is
    an error of ours."""
    while True:
        started, outcome = clock.monotonic(), "done"
        try:
            await do()
        except Unavailable as error:
            outcome = "away"
            log.warning("not now", chore=name, reason=error.sentence)
        except Exception:
            outcome = "failed"
            log.exception("a chore failed", chore=name)
        measures.chore.labels(name, outcome).observe(clock.monotonic() - started)
        await (doorbell.wait(seconds) if doorbell is not None else asyncio.sleep(seconds))


async def _canceled(tasks: Collection[asyncio.Future[None]]) -> None:
    """End *tasks*, asking again while one goes on: redis's client now and then swallows a cancellation."""
    waiting = {task for task in tasks if not task.done()}
    while waiting:
        for task in waiting:
            task.cancel()
        _, waiting = await asyncio.wait(waiting, timeout=0.5)
    await asyncio.gather(*tasks, return_exceptions=True)


async def _until_all(working: Sequence[asyncio.Future[None]], around: Sequence[asyncio.Future[None]]) -> None:
    """Until all of *working* have ended.  Whatever fails, of both, ends the worker with its error."""
    waiting = set(working)
    while waiting:
        done, _ = await asyncio.wait({*waiting, *around}, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
        waiting -= done
        around = [task for task in around if not task.done()]

"""One phase of one run while it is in a worker's hands."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import structlog

from app.errors import Conflict, Unavailable
from app.execution import log_header
from app.execution.following import follow
from app.execution.orders import Subject
from app.execution.station import Station
from app.execution.workdir import Workdir
from app.jobs import claims
from app.jobs.claims import Claim
from app.runs import lifecycle, logs, moves
from app.runs.models import Apply, Plan, RunEvent
from app.storage.database import in_transaction
from app.supervisor.client import CannotLaunch, Phase
from app.supervisor.spec import Result, Spec

log = structlog.get_logger(__name__)

T = TypeVar("T")
RETRY_SECONDS = 1.0
_TRIES = 10


class Overtaken(Exception):
    """The run has left the status in which this phase works, by somebody else's hand."""


@dataclass
class Work:
    """What a slot holds: the rows, the claim under which it writes, the log, and the supervisor once there is one."""

    subject: Subject
    claim: Claim
    station: Station
    slot: int
    log: logs.Writer = field(init=False)
    adopted: Path | None = None
    """The control directory of an earlier claim, whose supervisor this one goes on with."""
    is_cancel_wanted: bool = False
    is_kill_wanted: bool = False
    is_headed: bool = False
    """Whether the log has its header: whoever writes first below it, writes it."""
    _files_are_gone: bool = False
    _supervised: Phase | None = None
    _ended: asyncio.Future[Result] | None = None
    _before: tuple[int, bool] | None = None
    """How many events the run had, and whether it was decided, before a move whose end is not known."""

    def __post_init__(self) -> None:
        self.log = logs.Writer(self.subject.phase_id, self.subject.run.organization_id, self.claim)

    @property
    def directory(self) -> Workdir:
        """A name of its own for each claim: a supervisor never finds another's traces."""
        control = self.adopted or self.station.runs / f"{self.claim.job_id}.{self.claim.number}"
        if self.station.settings.sandbox != "none" or self._files_are_gone:
            return Workdir(control)
        return Workdir(control, self.station.runs / f"{self.subject.run.id}.files")

    @property
    def has_log(self) -> bool:
        """Checks in a job of their own have none: the plan's has ended."""
        return self.subject.job.phase != "check"

    @property
    def is_decided(self) -> bool:
        """Whether the run has moved on from this phase: what is left to do takes no time."""
        run, phase = self.subject.run, self.subject.job.phase
        return phase not in (lifecycle.queued_phase(run), lifecycle.running_phase(run))

    def let_go_of_files(self) -> None:
        """Before the run moves on: an apply made without a sandbox needs its plan's directories for itself, and may
        begin at once."""
        self.directory.remove_files()
        self._files_are_gone = True

    def cancel(self) -> None:
        """Interrupt terraform, which saves its state; said again it changes nothing."""
        first, self.is_cancel_wanted = not self.is_cancel_wanted, True
        if first and self._is_running:
            self._supervised.interrupt()  # type: ignore[union-attr]

    def kill(self) -> None:
        """End terraform now; what it has finished is in the journal."""
        self.is_kill_wanted = True
        if self._is_running:
            self._supervised.kill()  # type: ignore[union-attr]

    def abandon(self) -> None:
        """Let a plan's supervisor go down at once; an apply's goes on without us."""
        if self._supervised is not None:
            self._supervised.abandon()

    @property
    def _is_running(self) -> bool:
        return self._ended is not None and not self._ended.done()

    async def launch(self, spec: Spec) -> Result:
        """Hand *spec* to a supervisor of its own and see it through."""
        launching = asyncio.ensure_future(self.station.spawner.launch(spec, outlives_worker=self.subject.is_apply))
        try:
            launched = await asyncio.shield(launching)
        except asyncio.CancelledError:
            with suppress(CannotLaunch):  # in milliseconds; what was started is not to be lost sight of
                self._supervised = await launching
                self._ended = asyncio.ensure_future(self._supervised.wait())
            raise
        return await self.watch(launched, spec.log_offset)

    async def watch(self, supervised: Phase, log_offset: int) -> Result:
        """Carry the log over until the supervisor has ended, and give its result.

        Its file begins at *log_offset* of the stream; what the stream has of it already is not written again.
        """
        self._supervised = supervised
        self._ended = ended = asyncio.ensure_future(supervised.wait())
        if self.is_kill_wanted:
            supervised.kill()
        elif self.is_cancel_wanted:
            supervised.interrupt()
        while True:
            with suppress(Unavailable):
                await follow(supervised.control, ended, self.log.write, self.log.position - log_offset)
                return await ended
            await asyncio.sleep(RETRY_SECONDS)

    async def catch_up(self, control: Path, log_offset: int) -> None:
        """Carry over what the log of a supervisor that is gone still holds."""
        gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        gone.set_result(None)
        await self.persist(lambda: follow(control, gone, self.log.write, self.log.position - log_offset))

    async def ended(self) -> Result | None:
        """The supervisor's result, once it is gone; None if there never was one."""
        return await asyncio.shield(self._ended) if self._ended is not None else None

    async def head(self) -> None:
        """Write the header with which every log begins, if nobody has."""
        if not self.has_header:
            await self.add(log_header.of(self.subject.job))
        self.is_headed = True

    @property
    def has_header(self) -> bool:
        return self.is_headed or self.log.is_prefaced

    async def say(self, line: str) -> None:
        """Write a line of ours below the header, before terraform runs."""
        await self.head()
        await self.add(f"{line}\n")

    async def sign(self) -> None:
        """Write down who carries the phase out."""
        model = Apply if self.subject.is_apply else Plan
        await model.filter(id=self.subject.phase_id).update(worker_name=self.station.name)

    async def move(self, verb: str, store: Callable[[], Awaitable[None]] | None = None, **changes: Any) -> None:
        """Move the run on, with what *store* writes, in one transaction.

        People may touch the run meanwhile (a comment, a cancel); that is no reason to give up.  May be said again after
        any failure: a move that was made, although its answer was lost, is not made twice.  Raises Overtaken if the run
        was ended by somebody else, `claims.Lost` if the job was.
        """
        run = self.subject.run
        for _ in range(_TRIES):
            if self._before is not None and await self._was_spoken(verb, *self._before):
                break
            self._before = run.event_count, self.is_decided
            try:
                async with in_transaction():
                    if store is not None:
                        await store()
                    spoken = await moves.speak(run, verb, claim=self.claim, **changes)
            except Conflict:
                continue
            await moves.announce(spoken)
            break
        else:
            raise Conflict(f"{run.id} keeps changing while it is asked to {verb}.")
        self._before = None

    async def look_again(self) -> None:
        """Read the run as it is now: what was tried and cut short may have left another in memory."""
        await self.subject.run.refresh_from_db()

    async def _was_spoken(self, verb: str, since: int, was_decided: bool) -> bool:
        """Whether *verb* was, after all, spoken under our claim after the run's event *since*."""
        await self.look_again()
        spoken = await RunEvent.filter(run_id=self.subject.run.id, number__gt=since).order_by("number")
        if any(event.action == verb for event in spoken) and await claims.holds(self.claim):
            for event in spoken:
                event.run = self.subject.run
            await moves.announce([event for event in spoken if event.announced_at is None])
            return True
        if self.is_decided and not was_decided:
            raise Overtaken(self.subject.run.id)
        return False

    async def add(self, text: str) -> None:
        """Add to the log.  What cannot be sealed yet is kept, and sealed with what follows."""
        with suppress(Unavailable):
            await self.log.write(text.encode())

    async def persist(self, action: Callable[[], Awaitable[T]]) -> T:
        """Do *action*, however long a part we depend on is away; the lease decides when that is too long."""
        while True:
            try:
                return await action()
            except Unavailable as error:
                log.warning("waiting to store a result", job=self.claim.job_id, reason=error.sentence)
                await asyncio.sleep(RETRY_SECONDS)

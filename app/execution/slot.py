"""One place in a worker where phases are carried out: claim a job, keep its lease, see it through, take the next."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import structlog

from app import clock, measures
from app.errors import Conflict, Unavailable
from app.execution import endings, phases, recovery
from app.execution.orders import subject_of
from app.execution.station import Station
from app.execution.work import Overtaken, Work
from app.jobs import claims
from app.jobs.claims import Claimed, Lost

log = structlog.get_logger(__name__)


class Doorbell:
    """Wakes whoever waits for work.  A ring that nobody waits for is kept for the next who does."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def ring(self) -> None:
        self._rung.set()

    async def wait(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._rung.wait()
        self._rung.clear()


@dataclass
class Gate:
    """Whether this worker takes jobs now: not while it stops, and not while it could not carry one out."""

    is_closing: bool = False
    problem: str | None = None

    @property
    def is_open(self) -> bool:
        return not self.is_closing and self.problem is None


class Lease:
    """Keeps a job ours, and brings what people want of its run.

    A plan whose lease could not be renewed for `lease_stop` is stopped, since another may soon have it.  An apply goes
    on: nobody repeats it, and its supervisor saves its state by itself.
    """

    def __init__(self, work: Work) -> None:
        self._work = work
        self._settings = work.station.settings
        self._nudge = asyncio.Event()

    def nudge(self) -> None:
        """Somebody may want something: look now."""
        self._nudge.set()

    async def keep(self) -> None:
        """Ends when the job is no longer ours."""
        renewed = clock.monotonic()
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._settings.lease_renew):
                    await self._nudge.wait()
            self._nudge.clear()
            try:
                async with asyncio.timeout(self._settings.lease_stop):
                    wishes = await claims.renew(self._work.claim)
            except (Unavailable, TimeoutError) as error:
                silent = clock.monotonic() - renewed
                log.warning("a lease could not be renewed", job=self._work.claim.job_id, reason=str(error))
                if silent >= self._settings.lease_stop and not self._work.subject.is_apply:
                    return
                continue
            if wishes is None or wishes.force_canceled_at is not None:
                return
            renewed = clock.monotonic()
            if wishes.cancel_requested_at is not None:
                self._work.cancel()


class Slot:
    def __init__(self, number: int, station: Station, bell: Doorbell, gate: Gate) -> None:
        self.number = number
        self.work: Work | None = None
        self._station = station
        self._bell = bell
        self._gate = gate
        self._lease: Lease | None = None
        self._phase: asyncio.Task[bool] | None = None
        self._collecting: asyncio.Task[None] | None = None
        self._is_turned_from = False
        #: Directories being removed while the slot is on with the next job.
        self._clearing: set[asyncio.Task[None]] = set()

    @property
    def is_idle(self) -> bool:
        return self.work is None

    @property
    def is_applying(self) -> bool:
        return self.work is not None and self.work.subject.is_apply

    async def run(self, adopted: Sequence[Work] = ()) -> None:
        """Go on with what was adopted, then take job after job until the gate closes."""
        for work in adopted:
            await self.see_through(work, recovery.adopt)
        while not self._gate.is_closing:
            claimed = await self._next()
            if claimed is not None:
                await self.carry_out(claimed)
            else:
                await self._bell.wait(self._station.settings.idle_poll)
        await asyncio.gather(*self._clearing)

    async def _next(self) -> Claimed | None:
        if not self._gate.is_open:
            return None
        try:
            return await claims.claim(self._station.worker_id, self._station.toolbox.names)
        except Unavailable as error:
            log.warning("no job could be claimed", reason=error.sentence)
            return None

    async def carry_out(self, claimed: Claimed) -> None:
        """See the claimed phase through, whatever happens; never raises but for a cancel."""
        try:
            work = Work(await subject_of(claimed.job), claimed.claim, self._station, self.number)
            if self._gate.is_closing:
                await claims.release(claimed.job.id, claimed.claim.number)
            else:
                await self.see_through(work, phases.carry_out)
        except Unavailable as error:
            # Nothing was done yet; without a lease that moves, the job will be taken from us and queued again.
            log.warning(
                "a claimed job could not be read", run=claimed.job.run_id, job=claimed.job.id, reason=error.sentence
            )

    async def see_through(self, work: Work, phase: Callable[[Work], Awaitable[None]]) -> None:
        """Run *phase* beside its lease; whichever ends first ends the other."""
        run, name, started = work.subject.run, work.subject.job.phase, clock.monotonic()
        with structlog.contextvars.bound_contextvars(run=run.id, job=work.claim.job_id):
            log.info("a phase begins", phase=name, slot=self.number)
            try:
                await self._see_through(work, phase)
            finally:
                seconds = clock.monotonic() - started
                log.info("a phase is over", phase=name, status=run.status, seconds=round(seconds, 3))
                measures.phase.labels(name, run.status).observe(seconds)

    async def _see_through(self, work: Work, phase: Callable[[Work], Awaitable[None]]) -> None:
        self.work, self._is_turned_from = work, False
        self._lease = Lease(work)
        self._phase = asyncio.ensure_future(_guarded(work, phase))
        keeping = asyncio.ensure_future(self._lease.keep())
        try:
            await asyncio.wait({self._phase, keeping}, return_when=asyncio.FIRST_COMPLETED)
            if not self._phase.done():
                await self._drop(work)
            elif self._phase.cancelled():
                if not work.subject.is_apply:
                    await self._give_back(work)
            elif not self._phase.result():
                await self._drop(work)
        except asyncio.CancelledError:
            self._phase.cancel()
            raise
        finally:
            keeping.cancel()
            await _settled(self._phase)
            self.work = self._lease = self._phase = self._collecting = None
        clearing = asyncio.ensure_future(self._clear(work, self._is_turned_from))
        self._clearing.add(clearing)
        clearing.add_done_callback(self._clearing.discard)

    def nudge(self, run_id: str) -> None:
        if self.work is not None and self._lease is not None and self.work.subject.run.id == run_id:
            self._lease.nudge()

    def turn_away(self) -> None:
        """Let a plan wait for another worker, without counting that against it, and leave an apply to its supervisor,
        which goes on: the next start of this worker adopts it, or collects the state that it left."""
        self._is_turned_from = True
        if self._collecting is not None:
            self._collecting.cancel()
        if self._phase is not None and self.work is not None and not self.work.is_decided:
            self._phase.cancel()

    async def _give_back(self, work: Work) -> None:
        work.abandon()
        try:
            await endings.give_back(work)
        except Overtaken:
            await endings.leave(work)
        except Lost:
            log.info("a plan that was to be given back was lost", run=work.subject.run.id)
        except (Unavailable, Conflict) as error:
            log.warning("a plan could not be given back; its lease will lapse", reason=error.sentence)

    async def _drop(self, work: Work) -> None:
        """The job is no longer ours: end what we started for it, and keep the state that it left."""
        log.info("a job is no longer ours", job=work.claim.job_id)
        work.kill()
        assert self._phase is not None
        self._phase.cancel()
        await _settled(self._phase)
        await work.ended()
        self._collecting = asyncio.ensure_future(recovery.after_loss(work))
        try:
            await asyncio.wait({self._collecting})
        finally:
            self._collecting.cancel()
        if not self._collecting.cancelled():
            self._collecting.result()

    async def _clear(self, work: Work, is_left: bool) -> None:
        if is_left and work.subject.is_apply:
            return
        await work.ended()
        try:
            await asyncio.to_thread(work.directory.remove)
        except OSError as error:
            # A supervisor that was not waited for may still be ending; the next start clears it away.
            log.warning("a directory could not be removed", job=work.claim.job_id, reason=str(error))


async def _guarded(work: Work, phase: Callable[[Work], Awaitable[None]]) -> bool:
    """Any error of ours ends the run with a reference instead of leaving it hanging.  False: the job is another's."""
    try:
        await phase(work)
    except Lost:
        return False
    except Exception:
        reference = secrets.token_hex(4)
        log.exception("a phase met an error of ours", job=work.claim.job_id, reference=reference)
        work.kill()
        with suppress(Lost, Overtaken):
            await phases.give_up(work, reference)
    return True


async def _settled(task: asyncio.Task[bool]) -> None:
    await asyncio.wait({task})

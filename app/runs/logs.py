"""The log of a phase: one stream of bytes that only grows, opened by 0x02 and closed by 0x03.

What is written goes onto a live stream at once and, in segments of 1 MiB, encrypted into the object store, where any
process finds it.  No offset that a reader has seen ever changes, whoever goes on writing: a holder's bytes are refused
once another has claimed the job.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import structlog

from app import clock, ids
from app.errors import Conflict, NotFound, Unavailable
from app.jobs import claims
from app.jobs.claims import Claim, Lost
from app.jobs.models import Job
from app.runs import phase_status
from app.runs.models import Apply, LogSegment, Plan, Run
from app.storage import hot, objects, streams
from app.storage.database import in_transaction

log = structlog.get_logger(__name__)

OPENED, CLOSED = b"\x02", b"\x03"
SEGMENT = 1024 * 1024
#: While watchers get nothing live, a segment is sealed this often, however short.
AWAY_SECONDS = 1.0
#: How long a reader at the end sleeps before it looks whether the log ended without a word on the stream.
LOOK_SECONDS = 5.0
#: How long a log's live stream stays after its end, for those who are reading it.
LINGER_SECONDS = 300
#: A force-cancelled phase is terminal before its log is sealed; its end is shown after this long at the latest.
GRACE = timedelta(seconds=5)
#: The claim before which nobody can have written.
FIRST = 1
#: What is later than this is not null, said so that an index finds it.
_BEFORE_ALL = datetime(1970, 1, 1, tzinfo=UTC)
#: Later than every claim.
_NOBODY = 2**31


class Writer:
    """The one writer of a phase's log, as long as *claim* holds."""

    def __init__(self, phase_id: str, organization_id: str, claim: Claim) -> None:
        self.phase_id = phase_id
        self._organization_id = organization_id
        self.position = 0
        self.is_prefaced = False
        """Whether the header is there, and why it waited, and nothing else yet."""
        self._claim = claim
        self._sealed = 0
        self._waiting = bytearray()
        self._is_open = False
        self._is_live = True
        self._sealing: asyncio.Task[None] | None = None
        self._lock = asyncio.Lock()

    @property
    def is_bare(self) -> bool:
        """Whether the log is open and nothing is in it."""
        return self._is_open and self.position <= len(OPENED)

    async def open(self) -> bool:
        """Begin the log, or go on where it stands: True if a worker has written into it before.

        Raises Unavailable while nobody can say where it stands.
        """
        if self._is_open:
            return self.position > 1 and not self.is_prefaced
        if self._claim.number > FIRST:
            # A former holder that thaws from here on shows nothing behind what we are about to find.
            await streams.fence(self.phase_id, self._claim.number)
        phase = await _row(self.phase_id)
        self._sealed = self.position = phase.log_length
        if self._claim.number > FIRST:
            self._waiting += await _unsealed(self.phase_id, self._sealed)
        self.position += len(self._waiting)
        self._is_open = True
        self.is_prefaced = 0 < phase.log_preface == self.position
        if self.position:
            return not self.is_prefaced
        await self.write(OPENED)
        return False

    async def write(self, data: bytes) -> None:
        """Make *data* visible.  Raises `claims.Lost`; Unavailable says that it is kept here and not yet sealed."""
        async with self._lock:
            start = self.position
            self.is_prefaced = False
            self._waiting += data
            self.position += len(data)
            await self._show(start, data)
            while len(self._waiting) >= SEGMENT:
                await self._seal(SEGMENT)
        if not self._is_live and self._sealing is None:
            self._sealing = asyncio.ensure_future(self._keep_sealing())

    async def close(self) -> None:
        """Seal what is left with 0x03 and make the phase terminal, both in one step."""
        await self._stop_sealing()
        async with self._lock:
            await self._seal(len(self._waiting), end=True)
            await _tell_end(self.phase_id, self.position, self._claim.number)

    async def suspend(self) -> None:
        """Seal what is written, so that whoever goes on with this log finds it wherever that is."""
        await self._stop_sealing()
        async with self._lock:
            if self._waiting:
                await self._seal(len(self._waiting))

    async def show(self) -> None:
        """Let readers find all that is written: what the live stream was not told, being away, is sealed."""
        async with self._lock:
            if not self._is_live and self._waiting:
                await self._seal(len(self._waiting))

    async def abandon(self) -> None:
        """The job was ended in the database: seal what is left, if the phase is over and nobody else has."""
        await self._stop_sealing()
        async with self._lock:
            with suppress(Conflict):
                await _end(self.phase_id, self._sealed, bytes(self._waiting))

    async def _show(self, start: int, data: bytes) -> None:
        """Put *data* onto the live stream.  While that is away, segments are all that readers get; it is taken up again
        when everything before is sealed, so that it never has a gap."""
        if not self._is_live and len(self._waiting) > len(data):
            return
        try:
            written = await streams.append(self.phase_id, start + len(data), data, self._claim.number)
        except Unavailable:
            self._is_live = False
            return
        if not written:
            raise Lost(self._claim.job_id)
        self._is_live = True

    async def _keep_sealing(self) -> None:
        while not self._is_live:
            await asyncio.sleep(AWAY_SECONDS)
            async with self._lock:
                with suppress(Unavailable):
                    if self._waiting:
                        await self._seal(len(self._waiting))
        self._sealing = None

    async def _stop_sealing(self) -> None:
        if self._sealing is not None:
            self._sealing.cancel()
            await asyncio.wait({self._sealing})
            self._sealing = None

    async def _seal(self, length: int, *, end: bool = False) -> None:
        """Move the first *length* waiting bytes into a segment."""
        content = bytes(self._waiting[:length]) + (CLOSED if end else b"")
        try:
            await _store_segment(
                self.phase_id, self._organization_id, self._sealed, content, claim=self._claim, end=end
            )
        except Conflict:
            phase = await _row(self.phase_id)
            if end and phase.log_ended:
                # Its end was sealed before, and its holder died before it could close the job.
                self._waiting.clear()
                self._sealed = self.position = phase.log_length
                return
            # Ours, if an earlier attempt was committed and only its answer was lost.
            if phase.log_length != self._sealed + len(content):
                raise
        del self._waiting[:length]
        self._sealed += len(content)
        if end:
            self.position += 1
            return
        await streams.trim(self.phase_id, self._sealed)


async def begin_waiting(job: Job, text: bytes) -> bool:
    """Begin the log of a phase that no worker has with *text*; False if it has begun, or the job waits no more.

    Whoever claims the job finds these bytes sealed: the row of the job is held from the look at it to the end of the
    transaction that makes them part of the log.
    """
    phase_id = ids.plan_id(job.run_id) if job.phase == "plan" else ids.apply_id(job.run_id)
    content = OPENED + text
    stored = await objects.put("log", job.organization_id, content)
    try:
        async with in_transaction():
            untold = Job.filter(id=job.id, claim=job.claim, worker_id=None, closed_at=None, told=False)
            fresh = _model(phase_id).filter(id=phase_id, log_length=0, log_ended=False, log_closed_at=None)
            begun = await untold.update(told=True) and await fresh.update(
                log_length=len(content), log_preface=len(content)
            )
            if begun:
                await stored.save(force_create=True)
                await LogSegment.create(phase_id=phase_id, start=0, length=len(content), content_id=stored.id)
    except BaseException:
        with suppress(Unavailable):
            await asyncio.shield(objects.abandon(stored))
        raise
    if not begun:
        await objects.delete_bytes(stored)
        return False
    with suppress(Unavailable):  # who reads now is told now; others find the segment
        await streams.append(phase_id, len(content), content, job.claim)
    return True


async def read(phase_id: str, offset: int, limit: int, hold: float = 0) -> bytes:
    """At most *limit* bytes from *offset*; with nothing there yet, wait up to *hold* seconds for some.

    While it waits it holds neither a thread nor a connection to the database.  Empty after the end.
    """
    deadline = clock.monotonic() + hold
    while True:
        found, is_over = await streams.read(phase_id, offset, limit), False
        if not found:
            with suppress(Unavailable):  # then nothing can be told yet, which is no error to a reader
                found, is_over = await _stored(phase_id, offset, limit)
        left = deadline - clock.monotonic()
        if found or is_over or left <= 0:
            return found
        if await streams.wait(phase_id, offset, min(left, LOOK_SECONDS)):
            await asyncio.sleep(0)


async def length(phase_id: str) -> int:
    """How many bytes there are to read now, frame bytes counted; while Valkey is away, how many are sealed."""
    live = 0
    with suppress(Unavailable):
        live = await streams.end(phase_id)
    return max(live, (await _row(phase_id)).log_length)


async def end_abandoned() -> int:
    """Seal the logs of phases that were ended in the database and whose holder never did.  How many there were."""
    count = 0
    for model in (Plan, Apply):
        for phase in await model.filter(log_closed_at__gt=_BEFORE_ALL, log_ended=False).limit(100):
            if _is_within_grace(phase):
                continue
            with suppress(Conflict):
                await _end(phase.id, phase.log_length)
                count += 1
    return count


async def _stored(phase_id: str, offset: int, limit: int) -> tuple[bytes, bool]:
    """What segments have from *offset* on, and whether nothing follows it."""
    phase = await _phase(phase_id)
    if offset < phase.log_length:
        return await _from_segments(phase_id, offset, limit), False
    if phase.log_ended:
        return b"", True
    if _is_within_grace(phase):
        return b"", False
    if phase.log_closed_at is None and not phase_status.is_phase_over(_status(phase)):
        return b"", False
    # Over, and nobody closed it: it was never begun, or its run was ended while it waited to be taken up again.
    end = phase.log_length + len(await _unsealed(phase_id, phase.log_length))
    closing = CLOSED if end else OPENED + CLOSED
    return closing[max(offset - end, 0) :][:limit], True


def _is_within_grace(phase: Plan | Apply) -> bool:
    """Whether it was closed so lately that its holder may be about to seal it.  A time that is yet to come was written
    by a clock that was ahead, and says nothing."""
    return phase.log_closed_at is not None and abs(clock.now() - phase.log_closed_at) < GRACE


def _status(phase: Plan | Apply) -> str:
    run = phase.run
    return phase_status.plan_status(run, phase) if isinstance(phase, Plan) else phase_status.apply_status(run, phase)


async def _from_segments(phase_id: str, offset: int, limit: int) -> bytes:
    pieces: list[bytes] = []
    segments = LogSegment.filter(phase_id=phase_id, start__lt=offset + limit).order_by("-start")
    # The newest ones that matter are few: a reader asks for 64 KiB and a segment is a megabyte, or short and recent.
    reaching: list[LogSegment] = []
    async for segment in segments.select_related("content"):
        if segment.start + segment.length <= offset:
            break
        reaching.append(segment)
    for segment in reversed(reaching):
        start = offset - segment.start
        piece = [part async for part in objects.stream(segment.content, start, min(limit, segment.length - start))]
        data = b"".join(piece)
        pieces.append(data)
        offset, limit = offset + len(data), limit - len(data)
        if not limit:
            break
    return b"".join(pieces)


async def _unsealed(phase_id: str, sealed: int) -> bytes:
    """What the live stream has beyond the segments.  Readers may have seen it, so Unavailable is raised rather than
    nothing said while nobody can know."""
    found = bytearray()
    while piece := await streams.read(phase_id, sealed + len(found), SEGMENT, strict=True):
        found += piece
    return bytes(found)


async def _tell_end(phase_id: str, length: int, claim: int) -> None:
    """Everything is sealed: wake who waits, and let the live stream vanish."""
    with suppress(Unavailable):
        await streams.append(phase_id, length, CLOSED, claim)
        await streams.finish(phase_id, length)
    await streams.expire(phase_id, LINGER_SECONDS)


async def _end(phase_id: str, start: int, unshown: bytes = b"") -> None:
    """Seal what there is beyond *start*, and 0x03, without a claim.  Raises Conflict if somebody else did, or the phase
    is not over.

    A frozen holder may thaw at any time, so the stream is shut before anybody looks what it holds.  What it holds has
    been read; *unshown* is what a holder has besides, where it goes on from there.
    """
    phase = await _row(phase_id)
    if phase.log_closed_at is None or phase.log_ended:
        raise Conflict(f"The log of {phase_id} is not to be ended.")
    try:
        await streams.fence(phase_id, _NOBODY)
        shown = await _unsealed(phase_id, start)
    except Unavailable:
        if not unshown:
            raise
        shown = b""  # the holder knows what it wrote, and nobody can append meanwhile
    rest = unshown if unshown.startswith(shown) else shown
    run = await Run.get(id=ids.run_id_of(phase_id)).only("id", "organization_id")
    content = (b"" if start or rest else OPENED) + rest + CLOSED
    await _store_segment(phase_id, run.organization_id, start, content, claim=None, end=True)
    await _tell_end(phase_id, start + len(content), _NOBODY)


async def _store_segment(
    phase_id: str, organization_id: str, start: int, content: bytes, *, claim: Claim | None, end: bool
) -> None:
    """The bytes first, then the row that makes them part of the log, if it is still *start* long."""
    model = _model(phase_id)
    stored = await objects.put("log", organization_id, content)
    changes: dict[str, object] = {"log_length": start + len(content)}
    if end:
        changes |= {"log_ended": True}
    try:
        async with in_transaction():
            if claim is not None:
                await claims.hold(claim)
                changes |= {"log_closed_at": clock.now()} if end else {}
                phase = model.filter(id=phase_id, log_length=start, log_ended=False)
            else:
                phase = model.filter(id=phase_id, log_length=start, log_ended=False, log_closed_at__isnull=False)
            if not await phase.update(**changes):
                raise Conflict(f"The log of {phase_id} was written by another.")
            await stored.save(force_create=True)
            await LogSegment.create(phase_id=phase_id, start=start, length=len(content), content_id=stored.id)
    except BaseException:
        with suppress(Unavailable):
            await asyncio.shield(objects.abandon(stored))
        raise


def _model(phase_id: str) -> type[Plan] | type[Apply]:
    return Plan if phase_id.startswith("plan-") else Apply


async def _row(phase_id: str) -> Plan | Apply:
    """The phase alone; most need no more, and the join of it with its run takes ten times as long to build."""
    found: Plan | Apply | None = await hot.first(_model(phase_id), "it.id = {}", phase_id)
    if found is None:
        raise NotFound("There is no such plan or apply.")
    return found


async def _phase(phase_id: str) -> Plan | Apply:
    """The phase with its run, both as they were at one moment."""
    found = await _model(phase_id).get_or_none(id=phase_id).select_related("run")
    if found is None:
        raise NotFound("There is no such plan or apply.")
    return found

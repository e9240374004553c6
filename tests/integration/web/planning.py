"""A run carried out without a worker, with a log."""

from __future__ import annotations

from typing import Any

from app import ids
from app.jobs import claims
from app.jobs.claims import Claimed
from app.runs import logs, moves
from app.runs.models import Run
from tests import factories


class Planning:
    """The plan of a run, as a worker would carry it out."""

    def __init__(self, run: Run, claimed: Claimed) -> None:
        self.run = run
        self._claim = claimed.claim
        self._log = logs.Writer(ids.plan_id(run.id), run.organization_id, claimed.claim)

    async def write(self, data: bytes) -> None:
        await self._log.write(data)

    async def finish(self, *, changes: bool = True) -> None:
        await self._end("finish", has_changes=changes)

    async def fail(self, sentence: str, *, timed_out: bool = False) -> None:
        await self._end("fail", failure=sentence, is_timed_out=timed_out)

    async def _end(self, verb: str, **changes: Any) -> None:
        await moves.move(self.run, verb, claim=self._claim, **changes)
        await self._log.close()
        await claims.close(self._claim)


async def start(run: Run) -> Planning:
    claimed = await factories.take_job()
    assert claimed.job.run_id == run.id
    await run.refresh_from_db()
    await moves.move(run, "start", claim=claimed.claim)
    planning = Planning(run, claimed)
    await planning._log.open()
    return planning


async def planned(run: Run, log: bytes = b"", *, changes: bool = True) -> Run:
    """*run*, its plan finished with *log*."""
    planning = await start(run)
    await planning.write(log)
    await planning.finish(changes=changes)
    return run

"""A state that a run left on this machine because it could not be sent: nothing of it may be lost.

It becomes the workspace's state if it follows the current one and nobody else holds the lock; else it is kept with the
apply, for a person to look at.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import structlog

from app import states
from app.errors import StateroomError, Unavailable
from app.execution.workdir import Workdir
from app.runs.models import Apply, Run
from app.storage import objects
from app.storage.database import in_transaction
from app.supervisor.collect import open_inside
from app.supervisor.spec import StateResult

log = structlog.get_logger(__name__)


async def collect(run: Run, directory: Workdir, left: StateResult) -> str:
    """Save what *left* names.  Returns the sentence for the log."""
    try:
        version = await states.recover(run.workspace, run.id, _content(directory, left))
    except Unavailable:
        raise  # then it cannot be kept either; whoever comes next tries again
    except StateroomError as error:
        reason = error.sentence
    except Exception:
        # Whatever is wrong with us, the bytes are somebody's infrastructure.
        log.exception("a state that a run left could not be taken in", run=run.id)
        reason = "Stateroom met an error of its own with it; the worker's log says more."
    else:
        return f"The state this run left was saved as serial {version.serial}."
    await keep(run, directory, left)
    return (
        f"The state this run left did not become the workspace's: {reason} It is kept with the apply as its errored"
        " state; compare it with the current one, and push it if it is right."
    )


async def keep(run: Run, directory: Workdir, left: StateResult) -> None:
    """Keep the bytes with the apply, whatever they are."""
    stored = await objects.put("errored-state", run.organization_id, _content(directory, left))
    async with in_transaction():
        await stored.save(force_create=True)
        await Apply.filter(run_id=run.id).update(errored_state_id=stored.id)
    log.warning("a state was kept as an apply's errored state", run=run.id, serial=left.serial)


async def _content(directory: Workdir, left: StateResult) -> AsyncIterator[bytes]:
    """The run may still own that file's directory, so it is opened with care."""
    path = Path(left.left or "")
    root = directory.state if path.is_relative_to(directory.state) else directory.control
    with open_inside(root, str(path.relative_to(root))) as file:
        while piece := await asyncio.to_thread(file.read, objects.PIECE):
            yield piece

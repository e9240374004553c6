"""Plans what people approved here of strangers' forks: the web process that heard them fetches nothing itself.

A commit is claimed by moving its `next_at` on, so what a worker that died had begun is due again; nothing is planned
twice then (`heads`).
"""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta

import structlog

from app import clock
from app.errors import StateroomError
from app.vcs.models import ForkCommit, Repository
from github_app import pulls
from github_app.told import NothingToDo

log = structlog.get_logger(__name__)

MOST_AT_ONCE = 10
#: When another worker may take over, and when what failed is tried again.
LEASE = timedelta(minutes=1)
#: Of what could not be planned for so long the checks have said why.
GIVE_UP = timedelta(hours=24)


async def plan_due() -> int:
    """Plan what was approved and waits for that; how many commits."""
    now = clock.now()
    due = await ForkCommit.filter(next_at__lte=now).order_by("next_at", "id").limit(MOST_AT_ONCE)
    planned = 0
    for commit in due:
        if await ForkCommit.filter(id=commit.id, next_at=commit.next_at).update(next_at=now + LEASE):
            planned += await _plan(commit)
    return planned


async def _plan(commit: ForkCommit) -> bool:
    repository = await Repository.get(id=commit.repository_id).prefetch_related("installation")
    try:
        with suppress(NothingToDo):  # it was closed meanwhile, or nobody follows the repository any more
            await pulls.follow_pull_request(repository, commit.pull_request_number)
    except StateroomError as error:
        log.warning("an approved commit could not be planned", commit=commit.id, reason=error.sentence)
        if clock.now() - (commit.decided_at or commit.created_at) < GIVE_UP:
            return False
    await ForkCommit.filter(id=commit.id).update(next_at=None)
    return True

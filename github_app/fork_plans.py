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
from app.vcs import fork_commits, heads
from app.vcs.heads import Kind, Outcome, Ref
from app.vcs.models import ForkCommit, Repository
from github_app import checks, pulls
from github_app.client import Unreachable
from github_app.told import NothingToDo

log = structlog.get_logger(__name__)

MOST_AT_ONCE = 10
#: When another worker may take over.
LEASE = timedelta(minutes=5)
#: When what failed is tried again.
PAUSE = timedelta(minutes=1)
#: What could not be planned for so long waits for an approval once more; the workspace's page says why.
GIVE_UP = timedelta(hours=1)


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
        await _later(commit, repository, error)
        return False
    await ForkCommit.filter(id=commit.id).update(next_at=None)
    return True


async def _later(commit: ForkCommit, repository: Repository, error: StateroomError) -> None:
    log.warning("an approved commit could not be planned", commit=commit.id, reason=error.sentence)
    asked_for = error.not_before if isinstance(error, Unreachable) else None
    if asked_for is not None or clock.now() - (commit.decided_at or commit.created_at) < GIVE_UP:
        again_at = clock.now() + PAUSE
        await ForkCommit.filter(id=commit.id).update(next_at=max(asked_for or again_at, again_at))
    else:
        ref = Ref(Kind.PULL, str(commit.pull_request_number))
        await heads.record(commit.workspace_id, ref, commit.sha, Outcome.FAILED, error.sentence)
        await checks.give_up(repository, commit.sha, error.sentence)
        await fork_commits.wait_again(commit)

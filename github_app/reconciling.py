"""What no delivery told: the heads of connected repositories, looked at now and then and compared with ours.

Once when a workspace is connected, after that slowly: deliveries get lost, and some pushes cause none.  Tags are not
looked for.  Source: `github-app.md` §3.6.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta

import structlog
from tortoise.expressions import Q

from app import clock
from app.errors import StateroomError
from app.vcs import heads
from app.vcs.heads import Kind, Ref
from app.vcs.models import Repository
from github_app import api, following, pulls, pushes
from github_app.told import NothingToDo

log = structlog.get_logger(__name__)

EVERY = timedelta(hours=1)
#: After a failure.
SOON = timedelta(minutes=5)
MOST_AT_ONCE = 10


async def reconcile_due() -> int:
    """Reconcile the repositories that were not looked at for an hour; how many."""
    now = clock.now()
    due = Repository.filter(Q(reconciled_at=None) | Q(reconciled_at__lt=now - EVERY), lost=None)
    due = due.filter(installation__deleted_at=None, installation__suspended_at=None)
    due = due.filter(connections__workspace__deleted_at=None, connections__workspace_id__not_isnull=True)
    found = await due.distinct().limit(MOST_AT_ONCE).prefetch_related("installation")
    for repository in found:
        await _mark(repository, now)
        try:
            await reconcile(repository)
        except StateroomError as error:
            log.warning("a repository could not be reconciled", repository=repository.id, reason=error.sentence)
            await _mark(repository, now - EVERY + SOON)
    return len(found)


async def reconcile(repository: Repository) -> None:
    """Handle whatever has moved since we looked last."""
    connections = await following.connections_of(repository)
    for branch in sorted({one.followed_branch for one in connections if not one.tags_regex}):
        with suppress(NothingToDo):
            await pushes.follow_branch(repository, branch)
    asked, seen = api.of(repository.installation), set()
    async for pull in asked.open_pull_requests(repository):
        ref = Ref(Kind.PULL, str(pull.number))
        seen.add(ref.name)
        handled = await heads.handled(repository.id, ref)
        if any(heads.is_at(head, pull.head.sha) for head in handled.values()):
            continue
        with suppress(NothingToDo):
            await pulls.follow_pull_request(repository, pull.number)
    for number in await heads.open_numbers(repository.id):
        if str(number) not in seen:
            with suppress(NothingToDo):
                await pulls.follow_pull_request(repository, number)


async def _mark(repository: Repository, at: datetime) -> None:
    await Repository.filter(id=repository.id).update(reconciled_at=at)

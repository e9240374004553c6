"""What no delivery told: the heads of connected repositories, looked at now and then and compared with ours.

Once when a workspace is connected, after that slowly: deliveries get lost, and some pushes cause none.  What a look has
seen is kept, so a repository where nothing moved costs a call for each followed branch, one for a hundred open pull
requests and one for a hundred tags.  Source: `github-app.md` §3.6.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import structlog
from tortoise.exceptions import IntegrityError
from tortoise.expressions import Q

from app import clock
from app.errors import StateroomError, Unavailable
from app.vcs import filters, heads
from app.vcs.heads import Kind, Ref
from app.vcs.models import Connection, Repository
from github_app import api, following, pulls, pushes
from github_app.models import RepositoryLook
from github_app.told import NothingToDo

log = structlog.get_logger(__name__)

EVERY = timedelta(hours=1)
#: After a failure.
SOON = timedelta(minutes=5)
MOST_AT_ONCE = 10
#: Tags that are read of a repository, and that one look starts runs of.
MOST_TAGS, MOST_TAGS_STARTED = 1000, 20
#: So often a pull request that could not be planned is tried again, one look after the other.
MOST_FAILURES = 3


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
    look = await RepositoryLook.get_or_none(repository_id=repository.id) or RepositoryLook(repository_id=repository.id)
    try:
        await _reconcile_tags(repository, connections, look)
        await _reconcile_pulls(repository, connections, look)
    finally:
        await _keep(look)


# -- tags ------------------------------------------------------------------------------------------------------------


async def _reconcile_tags(repository: Repository, connections: Sequence[Connection], look: RepositoryLook) -> None:
    """Start what is new in the list of tags, for those who followed tags when it was read last: what was there before a
    workspace was connected is nothing to it."""
    followers = {one.workspace_id: one.tags_regex for one in connections if one.tags_regex}
    if not followers:
        look.followers, look.tags, look.tags_cut = {}, [], False
        return
    listed, cut = await api.of(repository.installation).tags(repository, MOST_TAGS)
    earlier = [one for one in connections if one.tags_regex and look.followers.get(one.workspace_id) == one.tags_regex]
    missed = [tag for tag, sha in _new(listed, look) if await _is_missed(repository, earlier, tag, sha)]
    if len(missed) > MOST_TAGS_STARTED:
        log.warning("too many new tags at once", repository=repository.id, tags=len(missed), started=MOST_TAGS_STARTED)
    for tag in missed[:MOST_TAGS_STARTED]:
        await _follow_tag(repository, tag, [one.workspace_id for one in earlier])
    look.followers, look.tags, look.tags_cut = followers, [list(pair) for pair in listed], cut


def _new(listed: list[tuple[str, str]], look: RepositoryLook) -> list[tuple[str, str]]:
    """The tags that came or moved since.  Where the list was cut, those behind its last one are old ones that a deleted
    tag made room for."""
    known = {pair[0]: pair[1] for pair in look.tags}
    if look.tags_cut:
        last = max((place for place, (name, _) in enumerate(listed) if name in known), default=len(listed))
        listed = listed[: last + 1]
    return [(name, sha) for name, sha in listed if known.get(name) != sha]


async def _is_missed(repository: Repository, connections: Sequence[Connection], tag: str, sha: str) -> bool:
    following_it = [one for one in connections if filters.of_tag(following.watch_of(one), tag).concerned]
    handled = await heads.handled(repository.id, Ref(Kind.TAG, tag)) if following_it else {}
    return any(not heads.is_at(handled.get(one.workspace_id), sha) for one in following_it)


async def _follow_tag(repository: Repository, tag: str, among: Sequence[str]) -> None:
    try:
        with suppress(NothingToDo):
            await pushes.follow_tag(repository, tag, among=among)
    except Unavailable:
        raise
    except StateroomError as error:
        log.warning("a tag could not be followed", repository=repository.id, tag=tag, reason=error.sentence)


# -- pull requests ---------------------------------------------------------------------------------------------------


async def _reconcile_pulls(repository: Repository, connections: Sequence[Connection], look: RepositoryLook) -> None:
    """Follow those whose head or base is not what the last look saw, and those that are not open any more."""
    settings = _digest(connections)
    if look.settings != settings:
        look.settings, look.pulls = settings, {}
    seen: set[str] = set()
    async for pull in api.of(repository.installation).open_pull_requests(repository):
        ref = Ref(Kind.PULL, str(pull.number))
        seen.add(ref.name)
        known_sha, known_base, failures = look.pulls.get(ref.name, ["", pull.base.ref, 0])
        if (known_sha, known_base) != (pull.head.sha, pull.base.ref):
            failures = 0
            is_done = known_base == pull.base.ref and await _is_handled(repository, ref, pull.head.sha)
        else:
            is_done = failures in (0, MOST_FAILURES)
        if not is_done:
            failures = failures + 1 if await _has_failed(repository, connections, ref) else 0
        look.pulls[ref.name] = [pull.head.sha, pull.base.ref, failures]
    for number in {str(number) for number in await heads.open_numbers(repository.id)} - seen:
        with suppress(NothingToDo, pulls.Unseen):
            await pulls.follow_pull_request(repository, int(number))
    look.pulls = {number: known for number, known in look.pulls.items() if number in seen}


async def _is_handled(repository: Repository, ref: Ref, sha: str) -> bool:
    return any(heads.is_at(head, sha) for head in (await heads.handled(repository.id, ref)).values())


async def _has_failed(repository: Repository, connections: Sequence[Connection], ref: Ref) -> bool:
    """Follow the pull request; whether a workspace could not be planned in."""
    before = clock.now()
    try:
        with suppress(NothingToDo):
            await pulls.follow_pull_request(repository, int(ref.name))
    except Unavailable:
        raise
    except StateroomError as error:  # which is no reason to leave the others out
        log.warning("a pull request could not be followed", repository=repository.id, ref=str(ref), why=error.sentence)
        return True
    return await heads.failed_since([one.workspace_id for one in connections], ref, before)


def _digest(connections: Sequence[Connection]) -> str:
    """Of all that decides which pull requests concern a workspace, whatever they change."""
    told = []
    for one in connections:
        plans = following.workspace_of(one).speculative_enabled
        told.append([one.workspace_id, one.followed_branch, one.tags_regex, one.fork_policy, plans])
    return hashlib.sha256(json.dumps(sorted(told)).encode()).hexdigest()


# -- the rows --------------------------------------------------------------------------------------------------------


async def _keep(look: RepositoryLook) -> None:
    """Whoever looked at the same time has seen the same."""
    seen: dict[str, Any] = {"settings": look.settings, "pulls": look.pulls, "followers": look.followers}
    seen |= {"tags": look.tags, "tags_cut": look.tags_cut}
    if not await RepositoryLook.filter(repository_id=look.repository_id).update(**seen):
        with suppress(IntegrityError):
            await RepositoryLook.create(repository_id=look.repository_id, **seen)


async def _mark(repository: Repository, at: datetime) -> None:
    await Repository.filter(id=repository.id).update(reconciled_at=at)

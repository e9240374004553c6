"""What is done with each event of GitHub's: a row each, by its name and, where it has one, its action.

What has no row is kept and ignored.  A handler returns the sentence that stands with the delivery; it may run twice
for one delivery, and for two deliveries of one thing.  Source: the matrix of `github-app.md` §3.2.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from app.errors import Unavailable
from github_app import checks, following, inbox, installation_events, pulls, pushes, reruns
from github_app.models import Delivery, GitHubApp
from github_app.payloads import (
    EVENTS,
    CheckRunEvent,
    CheckSuiteEvent,
    Envelope,
    MergeGroupEvent,
    PullRequestEvent,
    Unreadable,
    read,
)
from github_app.told import NothingToDo, Told

Handler = Callable[[Told[Any]], Awaitable[str]]


async def on_ping(told: Told[Any]) -> str:
    return "GitHub's deliveries arrive."


HANDLERS: dict[tuple[str, str | None], Handler] = {
    ("ping", None): on_ping,
    ("push", None): pushes.on_push,
    ("pull_request", "opened"): pulls.on_pull_request,
    ("pull_request", "reopened"): pulls.on_pull_request,
    ("pull_request", "synchronize"): pulls.on_pull_request,
    ("pull_request", "ready_for_review"): pulls.on_pull_request,
    ("pull_request", "edited"): pulls.on_pull_request,
    ("pull_request", "closed"): pulls.on_pull_request,
    ("merge_group", "checks_requested"): pulls.on_merge_group,
    ("merge_group", "destroyed"): pulls.on_merge_group,
    ("check_run", "rerequested"): reruns.on_check_rerequested,
    ("check_run", "requested_action"): reruns.on_action,
    ("check_suite", "rerequested"): reruns.on_suite_rerequested,
    ("installation", "created"): installation_events.on_installation,
    ("installation", "deleted"): installation_events.on_installation,
    ("installation", "suspend"): installation_events.on_installation,
    ("installation", "unsuspend"): installation_events.on_installation,
    ("installation", "new_permissions_accepted"): installation_events.on_installation,
    ("installation_repositories", "added"): installation_events.on_installation,
    ("installation_repositories", "removed"): installation_events.on_installation,
    ("installation_target", "renamed"): installation_events.on_target_renamed,
    ("repository", "created"): installation_events.on_repository,
    ("repository", "edited"): installation_events.on_repository,
    ("repository", "renamed"): installation_events.on_repository,
    ("repository", "archived"): installation_events.on_repository,
    ("repository", "unarchived"): installation_events.on_repository,
    ("repository", "privatized"): installation_events.on_repository,
    ("repository", "publicized"): installation_events.on_repository,
    ("repository", "transferred"): installation_events.on_repository,
    ("repository", "deleted"): installation_events.on_repository,
    ("github_app_authorization", "revoked"): installation_events.on_authorization_revoked,
}


def handler_of(event: str, action: str | None) -> Handler | None:
    """What is to be done with it, if anything."""
    return HANDLERS.get((event, action)) or HANDLERS.get((event, None))


async def give_up(app: GitHubApp, delivery: Delivery, body: bytes, reason: str) -> None:
    """The delivery has failed for good: the checks of its commit end and say why, those of an open pull request also
    where none was begun, since branch protection would wait for them."""
    try:
        payload = read(EVENTS.get(delivery.event, Envelope), body)
    except Unreadable:
        return
    if isinstance(payload, PullRequestEvent):
        sha = payload.pull_request.head.sha
    elif isinstance(payload, MergeGroupEvent):
        sha = payload.merge_group.head_sha
    elif isinstance(payload, CheckRunEvent):
        sha = payload.check_run.head_sha
    elif isinstance(payload, CheckSuiteEvent):
        sha = payload.check_suite.head_sha or ""
    else:
        return
    repository = await following.repository_of(app, payload.repository)
    if repository is not None:
        if isinstance(payload, PullRequestEvent) and payload.pull_request.state == "open":
            await pulls.begin_checks(repository, payload.pull_request.number, sha)
        await checks.give_up(repository, sha, reason)


async def handle(app: GitHubApp, delivery: Delivery, body: bytes) -> tuple[str, str]:
    """Do what the delivery asks for: the state it ends in, and the sentence.  Raises `Unreadable`, `StateroomError`;
    Unavailable also where GitHub does not show yet what it told of."""
    handler = handler_of(delivery.event, delivery.action)
    if handler is None:
        return inbox.IGNORED, "Nothing follows from this event."
    try:
        return inbox.DONE, await handler(Told(app, delivery, read(EVENTS[delivery.event], body)))
    except NothingToDo as reason:
        return inbox.IGNORED, str(reason)
    except pulls.Unseen as error:
        raise Unavailable(error.sentence) from None

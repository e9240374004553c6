"""What the app asks of GitHub: each permission and event with what it is for.  Nothing is asked that is not used.

Source: `github-app.md` §1.3 of the protocol notes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

#: A level holds those before it.
LEVELS = ("read", "write", "admin")
NOTHING = "nothing works"


@dataclass(frozen=True, slots=True)
class Permission:
    name: str
    level: str
    reason: str
    without: str

    @property
    def is_vital(self) -> bool:
        return self.without == NOTHING

    def is_granted(self, granted: Mapping[str, str]) -> bool:
        level = granted.get(self.name)
        return level in LEVELS and LEVELS.index(level) >= LEVELS.index(self.level)


@dataclass(frozen=True, slots=True)
class Event:
    name: str
    reason: str
    without: str


MERGE_QUEUES = Permission("merge_queues", "read", "plans for merge queues", "groups of a merge queue get no check")
MERGE_GROUP = Event("merge_group", "a merge queue wants its checks", "groups of a merge queue get no check")

PERMISSIONS = (
    Permission("metadata", "read", "GitHub grants it to every app", NOTHING),
    Permission("contents", "read", "fetch configurations, compare commits, hear of pushes", NOTHING),
    Permission("pull_requests", "read", "hear of pull requests and list their files", "pull requests are not planned"),
    Permission(
        "checks",
        "write",
        "say on each commit what its plans would do, with buttons to plan again",
        "commit statuses tell it, if the app may write those, and there are no buttons",
    ),
    MERGE_QUEUES,
)
EVENTS = (
    Event("push", "a branch or a tag moved", "pushes start runs up to an hour late"),
    Event("pull_request", "a pull request was opened or changed", "pull requests are planned up to an hour late"),
    Event("check_run", "Re-run, Plan again and Run plan", "the buttons of checks do nothing"),
    Event("check_suite", "Re-run all checks", "“Re-run all checks” does nothing"),
    Event("repository", "a repository was renamed, moved or deleted", "renames are noticed a day late"),
    MERGE_GROUP,
)


def missing_permissions(granted: Mapping[str, str]) -> list[Permission]:
    return [one for one in PERMISSIONS if not one.is_granted(granted)]


def missing_events(subscribed: list[str]) -> list[Event]:
    return [one for one in EVENTS if one.name not in subscribed]

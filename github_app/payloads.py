"""What we read of GitHub's deliveries, and no more.

GitHub adds and drops fields, and an older Enterprise Server lacks some, so everything that we can do without has
a default and whatever else a payload holds is passed over.  githubkit's models refuse half of GitHub's own examples
(`github-app.md`, trap T12, and §3.3 for the fields).  Times stay the texts they came as.
"""

from __future__ import annotations

from typing import Annotated, TypeVar

import msgspec

ZERO_SHA = "0" * 40
#: A push carries this many commits at most; with so many, its lists of files may be cut.
MOST_COMMITS = 2048
#: What a column of numbers can hold.
Number = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class Unreadable(Exception):
    """The body is not the event it says it is; the text names the field."""


class Account(msgspec.Struct):
    """A user, an organization or a bot; `type` says which."""

    id: Number = 0
    login: str = ""
    name: str | None = None
    type: str = "User"
    avatar_url: str = ""
    html_url: str = ""

    @property
    def handle(self) -> str:
        """A push names its repository's owner by `name` only."""
        return self.login or self.name or ""


class App(msgspec.Struct):
    """An app as it tells of itself; `owner` is an account, or an enterprise without a login."""

    id: Number
    slug: str = ""
    name: str = ""
    client_id: str = ""
    html_url: str = ""
    owner: Account | None = None
    permissions: dict[str, str] = {}
    events: list[str] = []


class Repository(msgspec.Struct):
    """Known by its `id`: names change, and come back with other repositories behind them."""

    id: Number
    full_name: str = ""
    name: str = ""
    private: bool = True
    default_branch: str | None = None
    html_url: str = ""
    clone_url: str = ""
    owner: Account | None = None
    archived: bool = False


class InstallationRef(msgspec.Struct):
    id: Number


class Envelope(msgspec.Struct):
    """What every delivery may say about where it belongs."""

    action: str | None = None
    installation: InstallationRef | None = None
    repository: Repository | None = None
    sender: Account | None = None


class Author(msgspec.Struct):
    name: str | None = None
    username: str | None = None


class Commit(msgspec.Struct):
    id: str = ""
    message: str = ""
    url: str = ""
    timestamp: str | None = None
    author: Author | None = None
    added: list[str] | None = None
    removed: list[str] | None = None
    modified: list[str] | None = None


class Push(Envelope):
    """`ref` is whole (`refs/heads/main`); `before` or `after` is `ZERO_SHA` where there is none."""

    ref: str = ""
    before: str = ""
    after: str = ""
    created: bool = False
    deleted: bool = False
    forced: bool = False
    compare: str = ""
    base_ref: str | None = None
    head_commit: Commit | None = None
    commits: list[Commit] | None = None
    pusher: Author | None = None


class BranchRepository(msgspec.Struct):
    id: Number
    full_name: str = ""


class Branch(msgspec.Struct):
    """One end of a pull request; the `repo` of a head is null once the fork was deleted."""

    sha: str = ""
    ref: str = ""
    repo: BranchRepository | None = None
    user: Account | None = None


class PullRequest(msgspec.Struct):
    number: Number
    head: Branch
    base: Branch
    id: Number = 0
    state: str = "open"
    draft: bool | None = False
    merged: bool | None = False
    title: str = ""
    body: str | None = None
    html_url: str = ""
    user: Account | None = None
    author_association: str = "NONE"
    merge_commit_sha: str | None = None
    updated_at: str | None = None
    changed_files: int | None = None

    @property
    def is_from_fork(self) -> bool:
        """Unless head and base are known to be one repository.  (`repo.fork` says something else.)"""
        head, base = self.head.repo, self.base.repo
        return head is None or base is None or head.id != base.id


class ChangedText(msgspec.Struct):
    """`from` in the payload."""

    before: str = msgspec.field(default="", name="from")


class ChangedBase(msgspec.Struct):
    ref: ChangedText | None = None
    sha: ChangedText | None = None


class PullRequestChanges(msgspec.Struct):
    base: ChangedBase | None = None


class PullRequestEvent(Envelope, kw_only=True):
    pull_request: PullRequest
    number: int = 0
    changes: PullRequestChanges | None = None
    before: str | None = None
    after: str | None = None


class AppRef(msgspec.Struct):
    id: Number = 0
    slug: str | None = None


class SuiteRef(msgspec.Struct):
    id: Number | None = None
    head_sha: str | None = None
    head_branch: str | None = None
    app: AppRef | None = None


class CheckRun(msgspec.Struct):
    """`pull_requests` would be empty for a fork's: what a check belongs to, its `external_id` says."""

    id: Number
    name: str = ""
    head_sha: str = ""
    external_id: str | None = None
    app: AppRef | None = None
    check_suite: SuiteRef | None = None


class RequestedAction(msgspec.Struct):
    identifier: str = ""


class CheckRunEvent(Envelope, kw_only=True):
    check_run: CheckRun
    requested_action: RequestedAction | None = None


class CheckSuiteEvent(Envelope, kw_only=True):
    check_suite: SuiteRef


class MergeGroup(msgspec.Struct):
    head_sha: str
    head_ref: str = ""
    base_sha: str = ""
    base_ref: str = ""
    head_commit: Commit | None = None


class MergeGroupEvent(Envelope, kw_only=True):
    merge_group: MergeGroup
    reason: str | None = None


class Installation(msgspec.Struct):
    id: Number
    account: Account | None = None
    repository_selection: str = "selected"
    permissions: dict[str, str] | None = None
    events: list[str] | None = None
    app_id: int = 0
    html_url: str = ""
    suspended_at: str | int | None = None


class InstallationEvent(msgspec.Struct):
    """Also of the repositories that were added to it or taken from it."""

    installation: Installation
    action: str | None = None
    sender: Account | None = None
    requester: Account | None = None
    repositories: list[Repository] | None = None
    repositories_added: list[Repository] | None = None
    repositories_removed: list[Repository] | None = None


class Owner(msgspec.Struct):
    """One of the two."""

    user: Account | None = None
    organization: Account | None = None


class ChangedOwner(msgspec.Struct):
    before: Owner | None = msgspec.field(default=None, name="from")


class ChangedName(msgspec.Struct):
    name: ChangedText | None = None


class RepositoryChanges(msgspec.Struct):
    default_branch: ChangedText | None = None
    owner: ChangedOwner | None = None
    repository: ChangedName | None = None


class RepositoryEvent(Envelope):
    changes: RepositoryChanges | None = None


class InstallationTargetEvent(Envelope):
    account: Account | None = None


#: The events that we act on, as `X-GitHub-Event` calls them, and what is read of each.
EVENTS: dict[str, type[msgspec.Struct]] = {
    "ping": Envelope,
    "push": Push,
    "pull_request": PullRequestEvent,
    "merge_group": MergeGroupEvent,
    "check_run": CheckRunEvent,
    "check_suite": CheckSuiteEvent,
    "installation": InstallationEvent,
    "installation_repositories": InstallationEvent,
    "installation_target": InstallationTargetEvent,
    "repository": RepositoryEvent,
    "github_app_authorization": Envelope,
}

Payload = TypeVar("Payload", bound=msgspec.Struct)


def read(model: type[Payload], body: bytes) -> Payload:
    """The delivery *body* as *model*.  Raises `Unreadable`, with the field that is missing or of another
    type."""
    try:
        return msgspec.json.decode(body, type=model)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Unreadable(str(error)) from None

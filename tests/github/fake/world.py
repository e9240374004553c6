"""What there is on the fake: apps, their installations, repositories, and what tests do to them."""

from __future__ import annotations

import hmac
import json
import secrets as random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.github.fake.access import Token
from tests.github.fake.faults import Fault
from tests.github.fake.git import Bare, Files
from tests.github.fake.limits import Limits

PERMISSIONS = {
    "metadata": "read",
    "contents": "read",
    "pull_requests": "read",
    "checks": "write",
    "statuses": "write",
    "merge_queues": "read",
}
EVENTS = ("push", "pull_request", "check_run", "check_suite", "repository", "merge_group")


@dataclass
class Asked:
    """A request that came, and how it was answered."""

    method: str
    path: str
    query: dict[str, str]
    body: Any
    status: int = 0
    operation: str = ""
    authorization: str = ""


class GitHub:
    """One GitHub.  `requests` is everything that was asked of it; `violations` is what should not have been."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.url = self.codeload_url = ""
        self.numbers = count(1001)
        self.apps: dict[int, App] = {}
        self.installations: dict[int, Installation] = {}
        self.repositories: dict[int, Repository] = {}
        self.accounts: dict[str, Account] = {}
        self.tokens: dict[str, Token] = {}
        self.codes: dict[str, SignIn] = {}
        self.user_tokens: dict[str, SignIn] = {}
        self.members: dict[str, set[str]] = {}
        self.conversions: dict[str, App] = {}
        self.downloads: dict[str, tuple[Repository, str, datetime]] = {}
        self.requests: list[Asked] = []
        self.violations: list[str] = []
        self.faults: list[Fault] = []
        self.clock_ahead = timedelta()
        self.long_tokens = False
        self.is_old = False
        """An Enterprise Server from before the merge queues."""
        self.makes_webhook_secrets = True
        """Whether an app that is made of a manifest is given one."""

    def now(self) -> datetime:
        return datetime.now(UTC) + self.clock_ahead

    def account(self, login: str, kind: str = "Organization") -> Account:
        if login not in self.accounts:
            self.accounts[login] = Account(next(self.numbers), login, kind)
        return self.accounts[login]

    def add_app(self, number: int, *, slug: str = "stateroom-test", webhook_url: str = "") -> App:
        self.apps[number] = app = App(self, number, slug, webhook_url=webhook_url)
        return app

    def add_repository(self, full_name: str, files: Files | None = None, *, private: bool = True) -> Repository:
        """One that no installation sees; with *files* it has a first commit on `main`."""
        owner, _, name = full_name.partition("/")
        repository = Repository(self, next(self.numbers), self.account(owner), name, private=private)
        self.repositories[repository.number] = repository
        if files is not None:
            repository.commit("main", files, "Begin")
        return repository

    def rename_account(self, login: str, new: str) -> None:
        account = self.accounts[new] = self.accounts.pop(login)
        for repository in self.repositories.values():
            if repository.owner is account:
                repository.old_names.add(repository.full_name.lower())
        account.login = new

    def find_repository(self, full_name: str) -> Repository | None:
        """By the name it has now, whatever its letters' case."""
        alike = [one for one in self.repositories.values() if one.full_name.lower() == full_name.lower()]
        return alike[-1] if alike else None

    def renamed_repository(self, full_name: str) -> Repository | None:
        """By a name that it had."""
        alike = [one for one in self.repositories.values() if full_name.lower() in one.old_names]
        return alike[-1] if alike else None

    def token_text(self, installation: Installation) -> str:
        if self.long_tokens:
            return f"ghs_{installation.app.number}_{random.token_urlsafe(300)}"
        return f"ghs_{random.token_hex(18)}"

    def sign_in(self, app: App, login: str, *, redirect_uri: str, challenge: str) -> str:
        """Somebody signs in through *app*: the code that their browser comes back to it with, good once."""
        code = random.token_hex(10)
        self.codes[code] = SignIn(app, self.account(login, "User"), redirect_uri, challenge)
        return code

    def fail(self, fault: int | str, where: str = "", *, times: int = 1, method: str = "") -> None:
        """Let the next requests whose path contains *where* go wrong: see `faults`."""
        self.faults.append(Fault(fault, where, method, times))

    def asked(self, operation: str) -> list[Asked]:
        """The requests of one operation, as OpenAPI writes it."""
        return [one for one in self.requests if one.operation == operation]


@dataclass(eq=False)
class Account:
    number: int
    login: str
    type: str


@dataclass
class SignIn:
    """An account's, through an app: a code stands for it, then a token."""

    app: App
    account: Account
    redirect_uri: str
    challenge: str


@dataclass
class Delivery:
    """A webhook that was sent, or was not: `send` decides."""

    number: int
    guid: str
    event: str
    body: bytes
    headers: dict[str, str]
    delivered_at: datetime
    status_code: int = 0
    redelivery: bool = False


@dataclass
class App:
    """*send* takes a delivery to us and tells the status; without one, deliveries are only kept."""

    github: GitHub
    number: int
    slug: str
    webhook_url: str = ""
    webhook_secret: str = "what only GitHub and we know"
    client_id: str = "Iv1.0123456789abcdef"
    client_secret: str = "a secret of the app as OAuth client"
    permissions: dict[str, str] = field(default_factory=lambda: dict(PERMISSIONS))
    events: tuple[str, ...] = EVENTS
    limits: Limits = field(default_factory=Limits)
    deliveries: list[Delivery] = field(default_factory=list)
    send: Callable[[Delivery], int] | None = None
    owner: Account | None = None

    def deliver(self, event: str, body: dict[str, Any], *, ago: timedelta = timedelta()) -> Delivery:
        """Send a webhook, or keep it as one that could not be sent."""
        raw, guid = json.dumps(body).encode(), str(uuid4())
        signature = hmac.digest(self.webhook_secret.encode(), raw, "sha256").hex()
        headers = {
            "content-type": "application/json",
            "x-github-delivery": guid,
            "x-github-event": event,
            "x-hub-signature-256": f"sha256={signature}",
        }
        delivery = Delivery(next(self.github.numbers), guid, event, raw, headers, self.github.now() - ago)
        self.attempt(delivery)
        return delivery

    def attempt(self, delivery: Delivery) -> None:
        self.deliveries.append(delivery)
        if self.send is not None:
            delivery.status_code = self.send(delivery)

    @property
    def private_key(self) -> str:
        return _pem()

    @property
    def public_key(self) -> rsa.RSAPublicKey:
        return _key().public_key()

    def install(self, login: str, *, kind: str = "Organization", selection: str = "selected") -> Installation:
        github = self.github
        account = github.account(login, kind)
        installation = Installation(self, next(github.numbers), account, selection, dict(self.permissions))
        github.installations[installation.number] = installation
        return installation


@dataclass
class Installation:
    app: App
    number: int
    account: Account
    selection: str
    permissions: dict[str, str]
    repositories: dict[int, Repository] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    suspended_at: datetime | None = None
    deleted: bool = False

    def add_repository(self, name: str, files: Files | None = None, *, private: bool = True) -> Repository:
        made = self.app.github.add_repository(f"{self.account.login}/{name}", files, private=private)
        self.repositories[made.number] = made
        return made


@dataclass
class Pull:
    """A pull request; its head and base move with their branches."""

    number: int
    base: Repository
    base_ref: str
    head: Repository | None
    head_ref: str
    head_sha: str
    base_sha: str
    user: Account
    title: str
    body: str | None = None
    state: str = "open"
    draft: bool = False
    merged: bool = False
    updated: int = 0
    hidden_files: int = 0
    """So many requests for its files are answered 404 first."""


@dataclass
class Repository:
    github: GitHub
    number: int
    owner: Account
    name: str
    private: bool = True
    archived: bool = False
    default_branch: str = "main"
    old_names: set[str] = field(default_factory=set)
    pulls: dict[int, Pull] = field(default_factory=dict)
    checks: dict[int, dict[str, Any]] = field(default_factory=dict)
    statuses: list[dict[str, Any]] = field(default_factory=list)
    collaborators: dict[str, str] = field(default_factory=dict)
    git: Bare = field(init=False)

    def __post_init__(self) -> None:
        self.git = Bare(self.github.directory / f"{self.number}.git")

    @property
    def full_name(self) -> str:
        return f"{self.owner.login}/{self.name}"

    def head(self, branch: str) -> str | None:
        return self.git.sha(f"refs/heads/{branch}")

    def commit(self, branch: str, files: Files, message: str = "Change it", *, parent: str | None = None) -> str:
        """On top of the branch, which begins where the default branch is; *parent* forces it elsewhere."""
        below = parent or self.head(branch) or self.head(self.default_branch)
        sha = self.git.commit(f"refs/heads/{branch}", files, message, parents=(below,) if below else ())
        self._moved(branch, sha)
        return sha

    def set_branch(self, branch: str, sha: str | None) -> None:
        """Move it by force, or delete it."""
        self.git.set(f"refs/heads/{branch}", sha)
        if sha is not None:
            self._moved(branch, sha)

    def open_pull(
        self,
        head: str,
        base: str | None = None,
        *,
        fork: Repository | None = None,
        title: str = "A change",
        by: str = "octocat",
        draft: bool = False,
    ) -> Pull:
        """Of a branch here, or of *fork*."""
        base = base or self.default_branch
        sha, base_sha = (fork or self).head(head), self.head(base)
        assert sha is not None
        assert base_sha is not None
        number = len(self.pulls) + 1
        user = self.github.account(by, "User")
        pull = Pull(number, self, base, fork or self, head, sha, base_sha, user, title, draft=draft)
        self.pulls[number] = pull
        self._follow(pull, sha)
        return pull

    def fork(self, login: str) -> Repository:
        copy = self.github.add_repository(f"{login}/{self.name}", private=self.private)
        self.github.account(login, "User")
        copy.git.git("fetch", "--quiet", str(self.git.path), "+refs/heads/*:refs/heads/*")
        return copy

    def merge(self, pull: Pull) -> str:
        pull.state, pull.merged = "closed", True
        base = self.head(pull.base_ref)
        assert base is not None
        changed = self.git.changed(self.git.text("merge-base", base, pull.head_sha), pull.head_sha)
        files: dict[str, str | bytes | None] = {}
        for one in changed:
            files.update({one["previous_filename"]: None} if "previous_filename" in one else {})
            gone = one["status"] == "removed"
            name = one["filename"]
            files[name] = None if gone else self.git.git("cat-file", "blob", f"{pull.head_sha}:{name}")
        message = f"Merge pull request #{pull.number}"
        parents = (base, pull.head_sha)
        sha = self.git.commit(f"refs/heads/{pull.base_ref}", files, message, parents=parents)
        self._moved(pull.base_ref, sha)
        return sha

    def rename(self, name: str) -> None:
        self.old_names.add(self.full_name.lower())
        self.name = name

    def transfer(self, login: str) -> None:
        """No installation that saw it sees it any more."""
        self.old_names.add(self.full_name.lower())
        self.leave()
        self.owner = self.github.account(login)

    def leave(self) -> None:
        """Be taken from every installation."""
        for installation in self.github.installations.values():
            installation.repositories.pop(self.number, None)

    def delete(self) -> None:
        self.leave()
        del self.github.repositories[self.number]

    def named_checks(self, sha: str) -> dict[str, dict[str, Any]]:
        """The newest check of each name on a commit."""
        return {check["name"]: check for check in self.checks.values() if check["head_sha"] == sha}

    def _moved(self, branch: str, sha: str) -> None:
        for repository in list(self.github.repositories.values()):
            for pull in repository.pulls.values():
                if pull.head is self and pull.head_ref == branch and pull.state == "open":
                    repository._follow(pull, sha)
                if repository is self and pull.base_ref == branch and pull.state == "open":
                    pull.base_sha = sha

    def _follow(self, pull: Pull, sha: str) -> None:
        pull.head_sha, pull.updated = sha, pull.updated + 1
        if pull.head is not None and pull.head is not self:
            self.git.git(
                "fetch", "--quiet", str(pull.head.git.path), f"+refs/heads/{pull.head_ref}:refs/pull/{pull.number}/head"
            )
        else:
            self.git.set(f"refs/pull/{pull.number}/head", sha)


@cache
def _key() -> rsa.RSAPrivateKey:
    """One for all apps: making one takes a while, and nothing here depends on theirs being different."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@cache
def _pem() -> str:
    return _key().private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()


__all__: Sequence[str] = ("Account", "App", "Asked", "Delivery", "GitHub", "Installation", "Pull", "Repository")

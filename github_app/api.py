"""What we ask of GitHub, in our words.

Each question is one call, answered from what GitHub says now.  `None` is GitHub's 404 for the thing asked; another no
is `Refused`, and `Unreachable` is worth another try.  Nothing that writes is ever sent twice by itself: whoever repeats
a creation looks first what became of the first (`find_check`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec
import structlog
from tortoise.expressions import F

from app import clock
from app.secret import Secret
from app.vcs import refs
from app.vcs.filters import ChangedFiles
from app.vcs.models import Installation, Repository
from github_app import client, limits, payloads, repositories, tarballs
from github_app.client import Answer, Call, Client, Grant, NoToken, Refused, Unreachable

__all__ = ["Api", "Commit", "Refused", "Unreachable", "of"]

log = structlog.get_logger(__name__)
Body = TypeVar("Body")
Result = TypeVar("Result")

#: What we ask our own tokens for, as far as the installation's owner granted it; a fetch needs the contents only.
WANTED = {"checks": "write", "contents": "read", "metadata": "read", "pull_requests": "read", "statuses": "write"}
FETCH = (("contents", "read"), ("metadata", "read"))
PAGE = 100
#: GitHub lists no more files than these, of a comparison and of a pull request.
MOST_COMPARED, MOST_OF_PULL_REQUEST = 300, 3000
#: The list of a pull request's files can be a 404 just after the event: seconds to wait before each try.
PATIENCE_WITH_FILES = (0, 1, 3, 7, 15)
#: These are about us, whatever is asked; any other no to a list of files is about the list.
NOT_LET_IN = (401, 403)
#: Tags of tags of tags end here.
DEEPEST_TAG = 10
_LEVELS = ("none", "read", "write", "maintain", "admin")
_MOVED = (301, 302, 307, 308)


@dataclass(frozen=True, slots=True)
class Commit:
    """`author_login` is "" where the author's address belongs to nobody at GitHub."""

    sha: str
    message: str
    html_url: str
    author_name: str
    author_login: str
    author_avatar_url: str


class _Object(msgspec.Struct):
    sha: str
    type: str = "commit"


class _Pointing(msgspec.Struct):
    """A ref, or a tag that is an object of its own."""

    object: _Object


class _Tag(msgspec.Struct):
    name: str
    commit: _Object


class _GitAuthor(msgspec.Struct):
    name: str | None = None


class _GitCommit(msgspec.Struct):
    message: str = ""
    author: _GitAuthor | None = None


class _Commit(msgspec.Struct):
    sha: str
    commit: _GitCommit
    html_url: str = ""
    author: payloads.Account | None = None


class _File(msgspec.Struct):
    filename: str
    previous_filename: str | None = None


class _Comparison(msgspec.Struct):
    status: str
    files: list[_File] | None = None


class _Permission(msgspec.Struct):
    permission: str
    role_name: str | None = None
    user: payloads.Account | None = None


class _CheckRun(msgspec.Struct):
    id: int
    name: str = ""
    external_id: str | None = None


class _CheckRuns(msgspec.Struct):
    check_runs: list[_CheckRun]


def of(installation: Installation) -> Api:
    return Api(installation)


class Api:
    """What one installation lets us ask.  Cheap to make; connections and tokens are the app's (`client.of`)."""

    def __init__(self, installation: Installation) -> None:
        self.installation = installation

    # -- what is there ---------------------------------------------------------------------------------------

    async def repository(self, repository: Repository) -> payloads.Repository | None:
        """As it is now, whatever its name and owner; None where it is gone or may not be seen."""
        return _found(payloads.Repository, await self._call(Call("GET", f"/repositories/{repository.number}")))

    async def branch_head(self, repository: Repository, branch: str) -> str | None:
        if not refs.is_name(branch):
            return None
        answer = await self._ask(repository, "GET", f"/git/ref/heads/{quote(branch)}")
        found = _found(_Pointing, answer, absent=409)
        return found.object.sha if found else None

    async def commit_of_tag(self, repository: Repository, tag: str) -> str | None:
        """Of an annotated tag, what it stands on; None also for one that stands on no commit."""
        if not refs.is_name(tag):
            return None
        found = _found(_Pointing, await self._ask(repository, "GET", f"/git/ref/tags/{quote(tag)}"), absent=409)
        for _ in range(DEEPEST_TAG):
            if found is None or found.object.type == "commit":
                return found.object.sha if found else None
            if found.object.type != "tag":
                return None
            found = _found(_Pointing, await self._ask(repository, "GET", f"/git/tags/{found.object.sha}"))
        return None

    async def tags(self, repository: Repository, most: int) -> tuple[list[tuple[str, str]], bool]:
        """Up to *most* tags with the commits they stand on, in GitHub's order (the last name first), and whether there
        are more."""
        listed: list[tuple[str, str]] = []
        async for page in self._pages(repository, "/tags", list[_Tag]):
            listed += [(one.name, one.commit.sha) for one in page]
            if len(listed) > most:
                break
        return listed[:most], len(listed) > most

    async def commit(self, repository: Repository, sha: str) -> Commit | None:
        answer = await self._ask(repository, "GET", f"/commits/{quote(sha, safe='')}", {"per_page": 1})
        found = _found(_Commit, answer, absent=422)
        if found is None:
            return None
        author, written = found.author or payloads.Account(), found.commit.author or _GitAuthor()
        message = found.commit.message
        return Commit(found.sha, message, found.html_url, written.name or "", author.login, author.avatar_url)

    async def pull_request(self, repository: Repository, number: int) -> payloads.PullRequest | None:
        return _found(payloads.PullRequest, await self._ask(repository, "GET", f"/pulls/{number}"))

    async def open_pull_requests(self, repository: Repository) -> AsyncIterator[payloads.PullRequest]:
        """The one that changed last first.  One that changes meanwhile may come twice."""
        query = {"state": "open", "sort": "updated", "direction": "desc"}
        async for page in self._pages(repository, "/pulls", list[payloads.PullRequest], query):
            for one in page:
                yield one

    async def permission_of(self, repository: Repository, login: str, number: int | None = None) -> str:
        """`none`, `read`, `write`, `maintain` or `admin`; of somebody's custom role, what it builds on.

        With the account's *number*, `none` as well where somebody else goes by that name now."""
        answer = await self._ask(repository, "GET", f"/collaborators/{quote(login, safe='')}/permission")
        found = _found(_Permission, answer)
        if found is None or (number is not None and (found.user is None or found.user.id != number)):
            return "none"
        known = [level for level in (found.role_name, found.permission) if level in _LEVELS]
        return known[0] if known else "none"

    # -- what changed ----------------------------------------------------------------------------------------

    async def files_of_pull_request(self, repository: Repository, number: int, expected: int | None) -> ChangedFiles:
        """*expected* is what the pull request says of their number: fewer means that the list is not whole yet.  Where
        GitHub will not list them, all may have changed."""
        for wait in PATIENCE_WITH_FILES:
            await asyncio.sleep(wait)
            files: list[_File] = []
            try:
                async for page in self._pages(repository, f"/pulls/{number}/files", list[_File]):
                    files += page
            except Refused as refusal:
                if refusal.status in NOT_LET_IN:
                    raise
                if refusal.status == 404:
                    continue
                return ChangedFiles.unknown(f"GitHub does not list the files: {refusal.message}")
            if len(files) >= MOST_OF_PULL_REQUEST:
                return ChangedFiles.unknown(f"GitHub lists no more than {MOST_OF_PULL_REQUEST} files")
            if expected is not None and len(files) < expected:
                return ChangedFiles.unknown(f"GitHub listed {len(files)} of {expected} changed files")
            return ChangedFiles.known(_paths(files))
        return ChangedFiles.unknown("GitHub does not list the pull request's files")

    async def files_between(self, repository: Repository, before: str, after: str) -> ChangedFiles:
        """What differs between two commits, whichever is older; of two that went apart, what either side changed."""
        there = await self._compared(repository, before, after)
        if isinstance(there, ChangedFiles):
            return there
        files = list(there.files or [])
        if there.status not in ("ahead", "identical"):  # a comparison begins at the common ancestor
            back = await self._compared(repository, after, before)
            if isinstance(back, ChangedFiles):
                return back
            files += back.files or []
        return ChangedFiles.known(_paths(files))

    async def _compared(self, repository: Repository, before: str, after: str) -> _Comparison | ChangedFiles:
        path = f"/compare/{quote(before, safe='')}...{quote(after, safe='')}"
        found = _found(_Comparison, await self._ask(repository, "GET", path, {"per_page": 1}))
        if found is None:
            return ChangedFiles.unknown(f"{before[:7]} is not in the repository any more")
        if len(found.files or []) >= MOST_COMPARED:
            return ChangedFiles.unknown(f"GitHub compares no more than {MOST_COMPARED} files")
        return found

    # -- what is in it ---------------------------------------------------------------------------------------

    async def tarball(self, repository: Repository, sha: str) -> AsyncIterator[bytes]:
        """The archive of a commit as GitHub packs it.  Besides the usual, raises TooLarge."""
        path = f"/tarball/{quote(sha, safe='')}"
        grant = Grant(self.installation.number, FETCH, (repository.number,))
        answer = await self._ask(repository, "GET", path, grant=grant)
        if answer.status != 302:
            raise answer.refusal()
        what = f"The archive of {repository.full_name} at {sha[:7]}"
        web_url = (await self._client()).app.web_url
        async for piece in tarballs.stream(answer.headers.get("location", ""), web_url, what):
            yield piece

    async def fetch_token(self, repository: Repository) -> Secret[str]:
        """For git, to read this repository alone.  Nobody else has it: `revoke` it afterwards."""
        grant = Grant(self.installation.number, FETCH, (repository.number,))
        return (await self._granted(lambda ours: ours.mint(grant))).secret

    async def revoke(self, token: Secret[str]) -> None:
        """One that is dead already is fine."""
        answer = await (await self._client()).with_token(token, Call("DELETE", "/installation/token"))
        if answer.status not in (204, 401):
            raise answer.refusal()

    # -- what we say -----------------------------------------------------------------------------------------

    async def create_check(self, repository: Repository, body: dict[str, Any]) -> int:
        return (await self._ask(repository, "POST", "/check-runs", body=body)).read(_CheckRun).id

    async def update_check(self, repository: Repository, number: int, body: dict[str, Any]) -> None:
        (await self._ask(repository, "PATCH", f"/check-runs/{number}", body=body)).read(_CheckRun)

    async def find_check(self, repository: Repository, sha: str, name: str, external_id: str) -> int | None:
        """The newest of ours with this `external_id`, whether or not GitHub's answer to its creation was heard."""
        ours = (await self._client()).app.app_id
        query = {"check_name": name, "app_id": ours, "filter": "all"}
        path = f"/commits/{quote(sha, safe='')}/check-runs"
        async for page in self._pages(repository, path, _CheckRuns, query):
            for check in page.check_runs:
                if check.external_id == external_id:
                    return check.id
        return None

    async def create_status(self, repository: Repository, sha: str, body: dict[str, Any]) -> None:
        (await self._ask(repository, "POST", f"/statuses/{quote(sha, safe='')}", body=body)).read(msgspec.Raw)

    async def budget(self) -> limits.Budget | None:
        """What is left of the hour's calls, by the last answer this process heard."""
        return (await self._client()).budget(self.installation.number)

    # -- asking ----------------------------------------------------------------------------------------------

    async def _pages(
        self, repository: Repository, path: str, model: type[Body], query: Mapping[str, str | int] | None = None
    ) -> AsyncIterator[Body]:
        number = 1
        while True:
            asked = {**(query or {}), "per_page": PAGE, "page": number}
            answer = await self._ask(repository, "GET", path, asked)
            yield answer.read(model)
            if 'rel="next"' not in answer.headers.get("link", ""):
                return
            number += 1

    async def _ask(
        self,
        repository: Repository,
        method: str,
        path: str,
        query: Mapping[str, str | int] | None = None,
        *,
        body: dict[str, Any] | None = None,
        grant: Grant | None = None,
    ) -> Answer:
        """About *repository*, which may have another name by now: a redirected write must not be relied on, so the
        name is learned anew and the call made again."""
        answer = await self._call(Call(method, f"/repos/{quote(repository.full_name)}{path}", query or {}, body), grant)
        if answer.status not in _MOVED or (answer.status == 302 and path.startswith("/tarball/")):
            return answer
        seen = (await self._call(Call("GET", f"/repositories/{repository.number}"))).read(payloads.Repository)
        if repositories.is_of_another(seen, self.installation):
            lost = repositories.transferred(repository, repositories.owner_of(seen))
            await repositories.lose(repository, lost)
            raise Refused(answer.status, lost, sentence=lost)
        await repositories.note(repository, seen)
        return await self._call(Call(method, f"/repos/{quote(repository.full_name)}{path}", query or {}, body), grant)

    async def _call(self, call: Call, grant: Grant | None = None) -> Answer:
        return await self._granted(lambda ours: ours.as_installation(grant or self._control(), call))

    def _control(self) -> Grant:
        granted = self.installation.permissions
        asked = {name: level for name, level in WANTED.items() if granted.get(name) in (level, "write", "admin")}
        return Grant(self.installation.number, tuple(sorted(asked.items())))

    async def _granted(self, work: Callable[[Client], Awaitable[Result]]) -> Result:
        """Do *work*, unless the installation is known to let nothing through; learn from GitHub if that is so now."""
        if trouble := self.installation.trouble:
            raise Refused(403, trouble, sentence=trouble)
        try:
            return await work(await self._client())
        except NoToken as refusal:
            await self._note(refusal)
            if trouble := self.installation.trouble:
                raise Refused(refusal.status, refusal.message, sentence=trouble) from refusal
            raise

    async def _note(self, refusal: NoToken) -> None:
        """GitHub gives no tokens for an installation that was suspended or removed; the event may have been missed."""
        if refusal.status == 404:
            change = {"deleted_at": clock.now()}
        elif refusal.status == 403 and "suspended" in refusal.message.lower():
            change = {"suspended_at": clock.now()}
        else:
            return
        await Installation.filter(id=self.installation.id).update(**change, revision=F("revision") + 1)
        self.installation.update_from_dict(change)
        log.warning("an installation lets us in no more", installation=self.installation.id, why=refusal.message)

    async def _client(self) -> Client:
        return await client.of(self.installation.app_id)


def _found(model: type[Body], answer: Answer, *, absent: int = 404) -> Body | None:
    """None for a 404, and for *absent*, which some calls answer in its place."""
    return None if answer.status in (404, absent) else answer.read(model)


def _paths(files: list[_File]) -> set[str]:
    """Both names of what was renamed."""
    return {name for file in files for name in (file.filename, file.previous_filename) if name}

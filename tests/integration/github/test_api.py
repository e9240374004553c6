"""What we ask of GitHub, asked of the fake: answers, refusals, limits and all that can go wrong on the way.

The fake checks each request, and each of its own answers, against GitHub's description of its API.
"""

from __future__ import annotations

import asyncio
import gzip
import io
import subprocess
import tarfile
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from app import clock
from app.errors import TooLarge
from app.secret import Secret
from app.vcs.models import Installation, Repository
from github_app import api, client, tarballs
from github_app.api import Api, Refused, Unreachable
from github_app.models import GitHubApp
from tests.github import connected
from tests.github.fake import serving, world
from tests.integration.github.conftest import FILES, Acme

#: Nothing here depends on the parts.
pytestmark = pytest.mark.parametrize("parts", ["embedded"], indirect=True)
MINT = "POST /app/installations/{installation_id}/access_tokens"


@dataclass
class Scene(Acme):
    @property
    def api(self) -> Api:
        return api.of(self.installation)

    def minted(self) -> int:
        return len(self.github.asked(MINT))


@pytest.fixture
def scene(acme: Acme) -> Scene:
    return Scene(**vars(acme))


async def test_heads_tags_and_commits_are_read(scene: Scene) -> None:
    repository, there = scene.repository, scene.there
    sha = there.commit("feature/a#b%c", {"main.tf": "# two\n"}, "Say two\n\nAnd why.")
    assert await scene.api.branch_head(repository, "feature/a#b%c") == sha
    assert await scene.api.branch_head(repository, "feature/a") is None
    asked = len(scene.github.requests)
    outside = f"../../../../{there.name}/git/ref/heads/main"
    assert await scene.api.branch_head(repository, outside) is None
    assert await scene.api.commit_of_tag(repository, outside) is None
    with pytest.raises(Refused, match="leads elsewhere"):
        await scene.api.commit(repository, "..")
    assert len(scene.github.requests) == asked
    there.git.tag("v1.0.0", sha)
    there.git.tag("v1.0.1", sha, "Release it")
    assert [await scene.api.commit_of_tag(repository, tag) for tag in ("v1.0.0", "v1.0.1", "v2")] == [sha, sha, None]
    commit = await scene.api.commit(repository, sha)
    assert commit is not None
    assert (commit.sha, commit.message, commit.author_login) == (sha, "Say two\n\nAnd why.", "octocat")
    assert await scene.api.commit(repository, "0" * 40) is None
    assert scene.minted() == 1
    empty = scene.installed.add_repository("empty")
    assert await scene.api.branch_head(await connected.know_repository(scene.installation, empty), "main") is None


async def test_pull_requests_are_read_also_those_of_forks(scene: Scene) -> None:
    there = scene.there
    there.commit("feature", {"main.tf": "# mine\n"})
    fork = there.fork("mallory")
    fork.commit("evil", {"main.tf": "# theirs\n"})
    there.open_pull("feature", title="Mine", draft=True)
    there.open_pull("evil", fork=fork, by="mallory")
    mine = await scene.api.pull_request(scene.repository, 1)
    assert mine is not None
    assert (mine.title, mine.draft, mine.is_from_fork, mine.changed_files) == ("Mine", True, False, 1)
    listed = [(pull.number, pull.is_from_fork) async for pull in scene.api.open_pull_requests(scene.repository)]
    assert sorted(listed) == [(1, False), (2, True)]
    assert await scene.api.pull_request(scene.repository, 3) is None


async def test_all_pages_are_read(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "PAGE", 2)
    for number in range(5):
        scene.there.commit(f"branch-{number}", {"main.tf": f"# {number}\n"})
        scene.there.open_pull(f"branch-{number}")
    numbers = [pull.number async for pull in scene.api.open_pull_requests(scene.repository)]
    assert sorted(numbers) == [1, 2, 3, 4, 5]
    assert len(scene.github.asked("GET /repos/{owner}/{repo}/pulls")) == 3


async def test_the_files_of_a_pull_request_have_both_names_of_a_renamed_one(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "PATIENCE_WITH_FILES", (0, 0, 0, 0, 0))
    scene.there.commit("feature", {"modules/a.tf": None, "modules/b.tf": "# a\n", "new.tf": "# new\n"})
    pull = scene.there.open_pull("feature")
    pull.hidden_files = 4
    changed = await scene.api.files_of_pull_request(scene.repository, 1, expected=2)
    assert changed.paths == frozenset({"modules/a.tf", "modules/b.tf", "new.tf"})
    fewer = await scene.api.files_of_pull_request(scene.repository, 1, expected=3)
    assert (fewer.paths, fewer.why) == (None, "GitHub listed 2 of 3 changed files")
    pull.hidden_files = 5
    hidden = await scene.api.files_of_pull_request(scene.repository, 1, expected=None)
    assert (hidden.paths, hidden.why) == (None, "GitHub does not list the pull request's files")
    monkeypatch.setattr(api, "MOST_OF_PULL_REQUEST", 2)
    assert (await scene.api.files_of_pull_request(scene.repository, 1, expected=None)).paths is None


async def test_what_differs_between_two_commits_is_found_in_any_direction(scene: Scene) -> None:
    there = scene.there
    first = there.head("main")
    assert first is not None
    second = there.commit("main", {"second.tf": "# 2\n"})
    other = there.commit("other", {"other.tf": "# o\n"}, parent=first)

    async def between(before: str, after: str) -> Any:
        return (await scene.api.files_between(scene.repository, before, after)).paths

    assert await between(first, second) == await between(second, first) == {"second.tf"}
    assert await between(second, other) == {"second.tf", "other.tf"}
    assert await between(first, first) == set()
    gone = await scene.api.files_between(scene.repository, "1" * 40, second)
    assert (gone.paths, gone.why) == (None, "1111111 is not in the repository any more")
    many = there.commit("main", {f"many/{number}.tf": f"# {number}\n" for number in range(301)})
    assert await between(second, many) is None


async def test_a_commit_s_archive_comes_by_an_address_that_gets_no_token(scene: Scene) -> None:
    sha = scene.there.head("main")
    assert sha is not None
    packed = b"".join([piece async for piece in scene.api.tarball(scene.repository, sha)])
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(packed))) as archive:
        assert archive.pax_headers["comment"] == sha
        assert {member.name.partition("/")[2] for member in archive if member.isfile()} == set(FILES)
    [download] = scene.github.asked("codeload")
    assert download.authorization == ""
    [minted] = scene.github.asked(MINT)
    assert minted.body == {
        "permissions": {"contents": "read", "metadata": "read"},
        "repository_ids": [scene.there.number],
    }


async def test_what_goes_wrong_with_an_archive_is_told_without_its_address(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    sha = scene.there.head("main")
    assert sha is not None

    async def fetch() -> int:
        return len([piece async for piece in scene.api.tarball(scene.repository, sha)])

    for fault, error in ((502, Unreachable), (404, Unreachable), ("half", Unreachable), (403, Refused)):
        scene.github.fail(fault, "codeload")
        with pytest.raises(error) as caught:
            await fetch()
        assert "token=" not in str(caught.value)
    with pytest.raises(Refused) as refused:
        assert [piece async for piece in scene.api.tarball(scene.repository, "2" * 40)] == []
    assert refused.value.status == 404
    monkeypatch.setattr(tarballs, "settings", Small())
    with pytest.raises(TooLarge, match="STATEROOM_MAX_ARCHIVE"):
        await fetch()
    assert "token=" not in caplog.text


class Small:
    max_archive = 10

    def current(self) -> Small:
        return self


async def test_git_fetches_with_a_token_that_is_good_for_one_repository_until_it_is_revoked(scene: Scene) -> None:
    other = scene.installed.add_repository("other", {"main.tf": ""})
    token = await scene.api.fetch_token(scene.repository)
    assert fetched(scene.there, token) == 0
    assert fetched(other, token) != 0
    again = await scene.api.fetch_token(scene.repository)
    assert again != token
    await scene.api.revoke(token)
    await scene.api.revoke(token)
    assert fetched(scene.there, token) != 0
    assert fetched(scene.there, again) == 0


def fetched(repository: world.Repository, token: Secret[str]) -> int:
    address = repository.github.url.replace("://", f"://x-access-token:{token.reveal()}@")
    command = ["git", "ls-remote", f"{address}/{repository.full_name}.git"]
    return subprocess.run(
        command, env={"PATH": "/usr/bin:/bin", "GIT_TERMINAL_PROMPT": "0"}, capture_output=True
    ).returncode


async def test_the_permission_of_a_person_is_a_level(scene: Scene) -> None:
    scene.there.collaborators.update({"ann": "admin", "mel": "maintain", "tim": "triage", "wim": "write"})
    for login in ("ann", "mel", "tim", "wim", "out"):
        scene.github.account(login, "User")
    logins = ("ann", "mel", "tim", "wim", "out", "nobody")
    levels = [await scene.api.permission_of(scene.repository, login) for login in logins]
    assert levels == ["admin", "maintain", "read", "write", "none", "none"]
    ann = scene.github.account("ann").number
    known = [await scene.api.permission_of(scene.repository, "ann", number) for number in (ann, ann + 1)]
    assert known == ["admin", "none"]


async def test_checks_and_statuses_are_written_and_found_again(scene: Scene) -> None:
    sha = scene.there.head("main")
    assert sha is not None
    check = {"name": "stateroom / acme", "head_sha": sha, "status": "queued", "external_id": "v1:run-1:1"}
    number = await scene.api.create_check(scene.repository, check)
    done = {"status": "completed", "conclusion": "success", "output": {"title": "No changes", "summary": "None."}}
    await scene.api.update_check(scene.repository, number, done)
    assert scene.there.named_checks(sha)["stateroom / acme"]["conclusion"] == "success"
    found = [await scene.api.find_check(scene.repository, sha, check["name"], wanted) for wanted in ("v1:run-1:1", "x")]
    assert found == [number, None]
    await scene.api.create_status(
        scene.repository, sha, {"state": "success", "context": "stateroom", "description": "x"}
    )
    assert [status["state"] for status in scene.there.statuses] == ["success"]
    too_long = {**done, "output": {"title": "x", "summary": "x" * 65536}}
    with pytest.raises(Refused) as refused:
        await scene.api.update_check(scene.repository, number + 1, done)
    assert refused.value.status == 404
    with pytest.raises(Refused):
        await scene.api.update_check(scene.repository, number, too_long)
    assert "is too long" in scene.github.violations.pop()
    scene.installed.permissions["checks"] = "read"
    scene.installation.permissions["checks"] = "read"
    with pytest.raises(Refused) as refused:
        await scene.api.create_check(scene.repository, check)
    assert (refused.value.status, refused.value.message) == (403, "Resource not accessible by integration")


async def test_a_renamed_repository_is_known_by_its_number(scene: Scene) -> None:
    sha = scene.there.head("main")
    assert sha is not None
    scene.there.rename("renamed")
    assert await scene.api.branch_head(scene.repository, "main") == sha
    assert (await Repository.get(id=scene.repository.id)).full_name == scene.there.full_name
    scene.there.rename("again")
    assert await scene.api.create_check(scene.repository, {"name": "x", "head_sha": sha})
    assert len(scene.there.checks) == 1
    scene.there.rename("thrice")
    assert [piece async for piece in scene.api.tarball(scene.repository, sha)]


# -- tokens ------------------------------------------------------------------------------------------------------


async def test_callers_at_the_same_time_share_one_token(scene: Scene) -> None:
    await asyncio.gather(*(scene.api.branch_head(scene.repository, "main") for _ in range(20)))
    assert scene.minted() == 1


async def test_a_token_that_github_knows_no_more_is_minted_again_once(scene: Scene) -> None:
    await scene.api.branch_head(scene.repository, "main")
    for token in scene.github.tokens.values():
        token.revoked = True
    assert await scene.api.branch_head(scene.repository, "main") == scene.there.head("main")
    assert scene.minted() == 2
    scene.github.fail(401, "/git/ref/", times=2)
    with pytest.raises(Refused) as refused:
        await scene.api.branch_head(scene.repository, "main")
    assert (refused.value.status, scene.minted()) == (401, 3)


async def test_a_token_is_not_used_in_its_last_five_minutes(scene: Scene) -> None:
    await scene.api.branch_head(scene.repository, "main")
    with clock.using(Ahead(timedelta(minutes=56))):
        scene.github.clock_ahead = timedelta(minutes=56)
        await scene.api.branch_head(scene.repository, "main")
    assert scene.minted() == 2


async def test_github_s_long_tokens_are_taken(scene: Scene) -> None:
    scene.github.long_tokens = True
    try:
        assert await scene.api.branch_head(scene.repository, "main")
    finally:
        scene.github.long_tokens = False


@pytest.mark.parametrize(
    ("minutes", "said"), [(2, "120 seconds ahead of"), (-2, None), (-12, "720 seconds behind"), (0, None)]
)
async def test_a_clock_that_is_wrong_is_named(scene: Scene, minutes: int, said: str | None) -> None:
    with clock.using(Ahead(timedelta(minutes=minutes))):
        if said is None:
            assert await scene.api.branch_head(scene.repository, "main")
            return
        with pytest.raises(Unreachable, match="clock") as caught:
            await scene.api.branch_head(scene.repository, "main")
    seconds = int(said.split()[0])
    assert any(said.replace(str(seconds), str(seconds + off)) in caught.value.sentence for off in (-1, 0, 1))


class Ahead(clock.SystemClock):
    def __init__(self, by: timedelta) -> None:
        self._by = by

    def now(self) -> Any:
        return super().now() + self._by


async def test_an_app_that_github_does_not_know_is_named(scene: Scene) -> None:
    del scene.github.apps[scene.app.app_id]
    with pytest.raises(Refused, match="Integration not found"):
        await scene.api.branch_head(scene.repository, "main")
    assert (await Installation.get(id=scene.installation.id)).trouble is None


async def test_an_installation_that_gives_no_token_is_marked(scene: Scene) -> None:
    scene.installed.suspended_at = clock.now()
    with pytest.raises(Refused, match="suspended"):
        await scene.api.branch_head(scene.repository, "main")
    known = await Installation.get(id=scene.installation.id)
    assert known.suspended_at is not None
    asked = len(scene.github.requests)
    with pytest.raises(Refused, match="suspended"):
        await api.of(known).branch_head(scene.repository, "main")
    assert len(scene.github.requests) == asked
    scene.installed.suspended_at, scene.installed.deleted = None, True
    scene.installation.suspended_at = None
    with pytest.raises(Refused, match="uninstalled"):
        await scene.api.branch_head(scene.repository, "main")
    assert (await Installation.get(id=scene.installation.id)).deleted_at is not None


async def test_apps_of_two_githubs_with_the_same_numbers_share_no_token(scene: Scene) -> None:
    with serving() as second:
        installed = second.add_app(scene.app.app_id).install("acme")
        second.installations[scene.installed.number] = installed
        del second.installations[installed.number]
        installed.number = scene.installed.number
        there = installed.add_repository("infra", {"main.tf": ""})
        installation = await connected.know_installation(await connected.register(installed.app), installed)
        repository = await connected.know_repository(installation, there)
        assert await scene.api.branch_head(scene.repository, "main") == scene.there.head("main")
        assert await api.of(installation).branch_head(repository, "main") == there.head("main")
        assert scene.minted() == len(second.asked(MINT)) == 1
        await client.close()


# -- what goes wrong -----------------------------------------------------------------------------------------------


async def test_each_failure_is_one_of_two_kinds_and_nothing_is_sent_twice(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    await scene.api.branch_head(scene.repository, "main")
    monkeypatch.setattr(client, "PATIENCE", 0.3)
    refusals, failures = (400, 403, 404, 409, 422), (500, 502, 503, "nothing", "lost", "half", "silent", "broken")
    check = {"name": "x", "head_sha": scene.there.head("main")}
    for fault in (*refusals, *failures):
        scene.github.requests.clear()
        scene.github.fail(fault, "/check-runs")
        with pytest.raises(Refused if fault in refusals else Unreachable) as caught:
            await scene.api.create_check(scene.repository, check)
        assert len(scene.github.requests) == 1
        assert "ghs_" not in str(caught.value)
    await client.close()


@pytest.mark.parametrize("fault", ["primary", "secondary", "secondary-date", "secondary-message", 429])
async def test_a_limit_is_heeded_for_as_long_as_github_says(scene: Scene, fault: str | int) -> None:
    await scene.api.branch_head(scene.repository, "main")
    scene.github.fail(fault, "/git/ref/")
    with pytest.raises(Unreachable) as caught:
        await scene.api.branch_head(scene.repository, "main")
    wait = caught.value.not_before
    assert wait is not None
    expected = 1800 if fault == "primary" else 60
    assert expected - 5 < (wait - clock.now()).total_seconds() < expected + 5
    asked = len(scene.github.requests)
    with pytest.raises(Unreachable):
        await scene.api.branch_head(scene.repository, "main")
    assert len(scene.github.requests) == asked
    with clock.using(Ahead(timedelta(seconds=expected + 5))):
        assert await scene.api.branch_head(scene.repository, "main")


async def test_what_is_left_of_the_hour_is_known(scene: Scene) -> None:
    scene.installed.limits.per_hour = 20
    assert await scene.api.budget() is None
    for _ in range(19):
        await scene.api.branch_head(scene.repository, "main")
    budget = await scene.api.budget()
    assert budget is not None
    assert (budget.limit, budget.remaining, budget.is_scarce) == (20, 1, True)


async def test_nobody_there_is_told_without_a_trace(scene: Scene) -> None:
    await GitHubApp.filter(id=scene.app.id).update(api_url="http://localhost:9/api/v3")
    with pytest.raises(Unreachable, match="ConnectError"):
        await scene.api.branch_head(scene.repository, "main")

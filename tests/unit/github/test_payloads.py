"""GitHub's deliveries are read, whatever is added to them or left out."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest

from github_app.payloads import EVENTS, PullRequestEvent, Push, RepositoryEvent, Unreadable, read
from tests.github import examples

#: What a payload cannot be understood without; everything else may be missing.
NEEDED = {"pull_request", "check_run", "check_suite", "merge_group", "installation", "id", "number", "head", "base"}
NEEDED |= {"head_sha"}


@pytest.mark.parametrize(("event", "payload"), examples.each(), ids=lambda value: value if type(value) is str else "")
def test_every_example_of_github_is_read(event: str, payload: dict[str, Any]) -> None:
    assert isinstance(read(EVENTS[event], json.dumps(payload).encode()), EVENTS[event])


@pytest.mark.parametrize("seed", range(20))
def test_more_and_fewer_fields_do_no_harm(seed: int) -> None:
    random = Random(seed)
    for event, payload in examples.each():
        read(EVENTS[event], json.dumps(_shaken(payload, random)).encode())


def test_what_is_read_is_what_was_sent() -> None:
    tag, *_ = examples.all_of_them()["push"]
    push = read(Push, json.dumps(tag).encode())
    assert (push.ref, push.created, push.deleted) == ("refs/tags/simple-tag", True, False)
    assert push.repository is not None
    assert push.repository.owner is not None
    assert (push.repository.id, push.repository.owner.handle) == (186853002, "Codertocat")

    transferred = next(e for e in examples.all_of_them()["repository"] if e["action"] == "transferred")
    event = read(RepositoryEvent, json.dumps(transferred).encode())
    assert event.changes is not None
    assert event.changes.owner is not None
    assert event.changes.owner.before is not None
    assert event.changes.owner.before.user is not None
    assert event.changes.owner.before.user.login


@pytest.mark.parametrize(
    ("head", "base", "is_fork"),
    [({"id": 1}, {"id": 1}, False), ({"id": 2}, {"id": 1}, True), (None, {"id": 1}, True), ({"id": 1}, None, True)],
)
def test_a_fork_is_whatever_is_not_known_to_be_the_same_repository(head: Any, base: Any, is_fork: bool) -> None:
    sent = {"pull_request": {"number": 1, "head": {"repo": head}, "base": {"repo": base}}}
    assert read(PullRequestEvent, json.dumps(sent).encode()).pull_request.is_from_fork is is_fork


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"{}",
        b"\xff",
        b'{"pull_request": 1}',
        b"[" * 100_000,
        b'{"pull_request":{"number":1}',
    ],
)
def test_what_is_no_pull_request_is_refused_with_the_reason(body: bytes) -> None:
    with pytest.raises(Unreadable, match=r".{10}"):
        read(PullRequestEvent, body)


def _shaken(value: Any, random: Random) -> Any:
    """*value* with keys nobody knows, and without some of those that may be missing."""
    if isinstance(value, list):
        return [_shaken(item, random) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {
        key: item if key == "permissions" else _shaken(item, random)
        for key, item in value.items()
        if key in NEEDED or random.random() > 0.2
    }
    return kept | {f"x_{random.randrange(1000)}": random.choice([None, [], {"id": "x"}, 1.5, "é"])}

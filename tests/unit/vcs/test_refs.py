from __future__ import annotations

import subprocess

import pytest

from app.vcs import refs

GOOD = ["main", "feature/a#b%c", "v1.0", "a.b/c.d", "@", "-x", "a@b", "locks", "a.locked", "é", "{x}", "a]"]
BAD = [
    "", "/", "a/", "/a", "a//b", ".", "..", "../a", "a..b", "a/..", ".a", "a/.b", "a.", "a.lock", "a.lock/b", "a b",
    "a~1", "a^", "a:b", "a?", "a*", "[a", "a\\b", "a@{1}", "a\tb", "a\x7f", "a\nb",
    "../../../../secret/git/ref/heads/main",
]  # fmt: skip


@pytest.mark.parametrize("name", [*GOOD, *BAD])
def test_names_are_those_that_git_takes(name: str) -> None:
    asked = subprocess.run(["git", "check-ref-format", f"refs/heads/{name}"], check=False)
    assert refs.is_name(name) == (asked.returncode == 0) == (name in GOOD)


def test_what_no_argument_can_hold_is_no_name() -> None:
    assert not refs.is_name("a\0b")

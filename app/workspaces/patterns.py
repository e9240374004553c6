"""Expressions that people write about paths and tags, matched in time linear in what they are matched with.

`trigger-patterns` are HCP's globs, anchored at the repository's root; a `tags-regex` is searched anywhere in the
tag's name.  Source: `run-lifecycle.md` §8 and `github-app.md` §3.8 of the protocol notes.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Protocol, cast

import re2

from app.errors import Invalid

MOST_PATTERNS = 100
LONGEST_PATTERN = 512

#: What a glob's tokens mean, the longest token first.  A hidden file matches like any other.
TOKENS = (("**/", "(?:[^/]*/)*"), ("*", "[^/]*"), ("?", "[^/]"))
#: `**` at the end: anything below, but not the folder itself.
EVERYTHING_BELOW = ("**", ".+")


class Expression(Protocol):
    """What we use of a compiled expression; re2 has no types of its own."""

    def search(self, text: str) -> object: ...

    def fullmatch(self, text: str) -> object: ...


def matches_glob(pattern: str, path: str) -> bool:
    """Whether *path*, from the repository's root, fits *pattern*; a slash before it says nothing."""
    return _glob(pattern).fullmatch(path) is not None


def matches_tag(expression: str, tag: str) -> bool:
    """Whether *expression* fits somewhere in the name of *tag*."""
    return _regex(expression).search(tag) is not None


def check_globs(patterns: list[str]) -> None:
    """Refuse more or longer patterns than anybody needs."""
    if len(patterns) > MOST_PATTERNS:
        raise Invalid(
            f"A workspace has at most {MOST_PATTERNS} trigger patterns, and these are {len(patterns)}. `**` joins"
            " many folders in one.",
            field="trigger_patterns",
        )
    for pattern in patterns:
        if not pattern.strip("/") or len(pattern) > LONGEST_PATTERN:
            raise Invalid(
                f"A trigger pattern has 1 to {LONGEST_PATTERN} characters besides the slash it begins with, such as"
                f' "/modules/**/*.tf". {pattern[:60]!r} has not.',
                field="trigger_patterns",
            )


def check_tags_regex(expression: str) -> None:
    """Refuse what the engine cannot match in linear time, saying what it could not read."""
    if len(expression) > LONGEST_PATTERN:
        raise Invalid(f"A tags regex has at most {LONGEST_PATTERN} characters.", field="tags_regex")
    try:
        _regex(expression)
    except re2.error as error:
        reason = error.args[0].decode() if isinstance(error.args[0], bytes) else str(error)
        raise Invalid(
            f"The tags regex cannot be used: {reason}. It is one of RE2's, which has no look-around and no"
            " back-references, so that no tag can keep it busy.",
            field="tags_regex",
        ) from None


@lru_cache(maxsize=2048)
def _glob(pattern: str) -> Expression:
    rest, translated = pattern.removeprefix("/"), ""
    while rest:
        tokens = (EVERYTHING_BELOW, *TOKENS) if rest == EVERYTHING_BELOW[0] else TOKENS
        token, meaning = next(
            ((token, meaning) for token, meaning in tokens if rest.startswith(token)), (rest[0], re2.escape(rest[0]))
        )
        translated, rest = translated + meaning, rest[len(token) :]
    return _compiled(f"(?s){translated}")


@lru_cache(maxsize=512)
def _regex(expression: str) -> Expression:
    return _compiled(expression)


def _compiled(expression: str) -> Expression:
    options = re2.Options()
    options.log_errors = False
    return cast(Expression, re2.compile(expression, options))

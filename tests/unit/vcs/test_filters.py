"""Which changes concern which workspace: the vectors of the protocol notes, and what a stranger may write."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import Invalid
from app.vcs import filters
from app.vcs.filters import ChangedFiles, Watch
from app.workspaces import patterns

VECTORS = [
    ("/**/*", ["main.tf", "a/b/.hidden"], []),
    ("/module/**/*", ["module/x.tf", "module/a/b.tf"], ["modules/x", "module"]),
    ("/**/networking/*", ["networking/a.tf", "x/networking/a.tf"], ["x/networking/y/a.tf", "xnetworking/a.tf"]),
    ("/**/networking/**/*", ["submodule/service-1/networking/private/main.tf"], ["networking"]),
    ("/**/*.tf", ["main.tf", "a/b/c.tf"], ["main.tfx"]),
    ("/submodule/*.???", ["submodule/a.tfx"], ["submodule/a.tf", "submodule/b/a.tfx"]),
    ("infra/**", ["infra/a/b", "infra/a"], ["infra", "infrax/a"]),
    ("*.tf", ["a.tf", ".tf"], ["a/b.tf"]),
    ("a+b/(c).tf", ["a+b/(c).tf"], ["aab/c.tf"]),
    ("/größe/?.tf", ["größe/ß.tf", "größe/𝄞.tf"], ["größe/ab.tf"]),
    ("a**b", ["ab", "axb"], ["a/b"]),
    ("*", ["line\nbreak"], ["a/b"]),
]


@pytest.mark.parametrize(("pattern", "inside", "outside"), VECTORS)
def test_a_pattern_means_what_the_notes_say(pattern: str, inside: list[str], outside: list[str]) -> None:
    assert [path for path in inside if not patterns.matches_glob(pattern, path)] == []
    assert [path for path in outside if patterns.matches_glob(pattern, path)] == []


@given(st.text(min_size=1, max_size=80), st.text(max_size=80))
def test_any_text_is_a_pattern(pattern: str, path: str) -> None:
    patterns.matches_glob(pattern, path)


@given(st.text(alphabet=st.characters(exclude_characters="*?", exclude_categories=["Cs"]), min_size=1))
def test_a_pattern_without_wildcards_is_itself_alone(path: str) -> None:
    assert patterns.matches_glob("/" + path, path)
    assert not patterns.matches_glob("/" + path, path + "x")


def test_no_pattern_and_no_tag_keep_the_matcher_busy() -> None:
    assert not patterns.matches_glob("**/*a" * 80 + "b", "a/" * 2_000)
    assert not patterns.matches_tag("(a+)+$", "a" * 100_000 + "b")


@pytest.mark.parametrize(
    ("watch", "paths", "concerned", "reason"),
    [
        (Watch(), ["a"], True, "The workspace follows the whole repository."),
        (Watch(working_directory="/infra/"), ["infra/a.tf"], True, "infra/a.tf is in infra."),
        (Watch(working_directory="infra"), ["infra-old/a.tf"], False, "No file changed in infra."),
        (Watch(working_directory="infra", trigger_prefixes=("/modules",)), ["modules/x/a"], True,
         "modules/x/a is in modules."),
        (Watch(trigger_prefixes=("modules",)), ["infra/a"], False, "No file changed in modules."),
        (Watch(trigger_prefixes=("/",)), ["infra/a"], True, "infra/a is in the repository."),
        (Watch(working_directory="infra", trigger_patterns=("/modules/**/*",)), ["infra/a"], False,
         "No changed file matches a trigger pattern."),
        (Watch(working_directory="infra", file_triggers_enabled=False), ["x"], True,
         "The workspace follows every change."),
        (Watch(tags_regex="^v", file_triggers_enabled=False), ["x"], False, "The workspace follows tags only."),
        (Watch(working_directory="infra"), [], False, "No file changed in infra."),
    ],
)  # fmt: skip
def test_files_are_judged_in_the_documented_order(watch: Watch, paths: list[str], concerned: bool, reason: str) -> None:
    assert filters.of_files(watch, ChangedFiles.known(paths)) == filters.Decision(concerned, reason)


def test_an_unknown_list_concerns_everybody_but_who_follows_tags() -> None:
    unknown = ChangedFiles.unknown("it has more than 300 files")
    assert filters.of_files(Watch(trigger_patterns=("x",)), unknown).reason == (
        "Taken as affected, because it has more than 300 files."
    )
    assert not filters.of_files(Watch(tags_regex="x"), unknown).concerned


@pytest.mark.parametrize(
    ("regex", "tag", "concerned"),
    [
        (r"^\d+.\d+.\d+$", "1.2.3", True),
        (r"^\d+.\d+.\d+$", "v1.2.3", False),
        (r"\d+.\d+.\d+$", "release-1.2.3", True),
        (r"^\d+.\d+.\d+", "1.2.3-rc1", True),
        ("", "1.2.3", False),
    ],
)
def test_a_tag_is_searched_for_the_regex(regex: str, tag: str, concerned: bool) -> None:
    assert filters.of_tag(Watch(tags_regex=regex), tag).concerned is concerned


@pytest.mark.parametrize("regex", ["(", r"(?=x)", r"(a)\1", "x" * 513])
def test_a_regex_that_cannot_be_used_is_refused_with_the_reason(regex: str) -> None:
    with pytest.raises(Invalid) as refused:
        patterns.check_tags_regex(regex)
    assert refused.value.field == "tags_regex"


@pytest.mark.parametrize("globs", [["a"] * 101, ["x" * 513], [""], ["/"]])
def test_too_many_or_endless_patterns_are_refused(globs: list[str]) -> None:
    with pytest.raises(Invalid, match="trigger pattern"):
        patterns.check_globs(globs)

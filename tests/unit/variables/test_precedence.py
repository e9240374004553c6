"""The documented precedence, walked as the table it is."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.secret import Secret
from app.variables.precedence import (
    TABLE,
    Candidate,
    Judge,
    Level,
    Owner,
    Row,
    Scope,
    SetKind,
    Value,
    contests,
    level_of_set,
    overwritten,
    winners,
)

#: Copied from the documentation, so that the table cannot be changed by accident: owner, scope and priority of sets.
DOCUMENTED: list[tuple[int, str]] = [
    (1, "organization global priority"),
    (2, "organization project priority"),
    (3, "organization workspace priority"),
    (4, "project project priority"),
    (5, "project workspace priority"),
    (6, "-var"),
    (7, "TF_VAR_"),
    (8, "workspace's own"),
    (9, "project workspace"),
    (10, "project project"),
    (11, "organization workspace"),
    (12, "organization project"),
    (13, "organization global"),
    (14, "*.auto.tfvars"),
    (15, "terraform.tfvars"),
]
PLACES = st.tuples(st.sampled_from(["a", "b"]), st.sampled_from(["terraform", "env"]))


def candidate(
    level: Level, key: str = "region", category: str = "terraform", name: str = "", text: str = ""
) -> Candidate[Value]:
    value = Value(key, Secret(text), category, hcl=False, sensitive=False, source=f"{level.name} {name}")
    return Candidate(value, level, name)


@pytest.mark.parametrize(("row", "documented"), list(zip(TABLE, DOCUMENTED, strict=True)))
def test_the_table_is_the_documented_one(row: Row, documented: tuple[int, str]) -> None:
    number, words = documented
    assert row.level == number
    if row.of_sets is None:
        assert words in row.says
    else:
        kind = row.of_sets
        assert " ".join([kind.owner.value, kind.scope.value] + ["priority"] * kind.priority) == words
        assert level_of_set(kind) is row.level


@pytest.mark.parametrize(("stronger", "weaker"), list(itertools.pairwise(TABLE)))
def test_each_row_beats_the_next(stronger: Row, weaker: Row) -> None:
    for name in ("", "a"):  # whatever the sets are called
        candidates = [candidate(weaker.level, name=""), candidate(stronger.level, name=name)]
        assert winners(candidates) == [candidates[1].value]
        assert [lost.level for lost in overwritten(candidates)] == [weaker.level]


@pytest.mark.parametrize(("stronger", "weaker"), list(itertools.combinations(TABLE, 2)))
def test_each_row_beats_every_later_one(stronger: Row, weaker: Row) -> None:
    assert winners([candidate(weaker.level), candidate(stronger.level)]) == [candidate(stronger.level).value]


def test_every_kind_of_set_there_can_be_has_its_row() -> None:
    """A project's set is never global; all other combinations are there."""
    kinds = {SetKind(owner, scope, priority) for owner in Owner for scope in Scope for priority in (True, False)}
    impossible = {SetKind(Owner.PROJECT, Scope.GLOBAL, priority) for priority in (True, False)}
    assert {row.of_sets for row in TABLE if row.of_sets is not None} == kinds - impossible


def test_the_files_of_a_configuration_are_terraforms_own_affair() -> None:
    assert [row.level for row in TABLE if row.judge is Judge.TERRAFORM] == [Level.AUTO_TFVARS, Level.TFVARS]
    assert [row.level for row in TABLE if row.judge is Judge.CLI] == [Level.SHELL]


@given(st.lists(st.tuples(st.sampled_from(Level), PLACES, st.text(max_size=3)), max_size=12), st.randoms())
def test_of_any_candidates_the_strongest_of_each_place_wins_in_whatever_order(
    drawn: list[tuple[Level, tuple[str, str], str]], random: object
) -> None:
    everyone = [candidate(level, key, category, name) for level, (key, category), name in drawn]
    expected = {}
    for one in sorted(everyone, key=lambda one: (one.level, [ord(letter) for letter in one.name]), reverse=True):
        expected[one.value.category, one.value.key] = one.value
    shuffled = list(everyone)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert winners(shuffled) == [expected[place] for place in sorted(expected)]
    assert len(overwritten(shuffled)) == len(everyone) - len(expected)
    assert sorted(map(repr, itertools.chain(*contests(shuffled)))) == sorted(map(repr, everyone))


def test_categories_do_not_meet() -> None:
    both = [candidate(Level.GLOBAL_SET, category="env"), candidate(Level.WORKSPACE, category="terraform")]
    assert len(winners(both)) == 2
    assert overwritten(both) == []


@pytest.mark.parametrize("row", [row for row in TABLE if row.of_sets is not None])
def test_among_sets_of_one_row_the_first_name_by_code_point_wins(row: Row) -> None:
    names = ["b", "a", "aa", "Z", "é", "\U0001f986", "\uffee", "10", "9"]
    sets = [candidate(row.level, name=name) for name in names]
    [order] = contests(sets)
    assert [one.name for one in order] == ["10", "9", "Z", "a", "aa", "b", "é", "\uffee", "\U0001f986"]


def test_a_value_does_not_show_itself() -> None:
    assert "hunter2" not in repr(winners([candidate(Level.RUN, text="hunter2")])[0])

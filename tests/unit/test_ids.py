"""Ids look as clients expect and name their kind."""

from __future__ import annotations

import re

import pytest

from app import ids


@pytest.mark.parametrize("kind", ids.PREFIXES)
def test_an_id_is_a_prefix_and_sixteen_letters_or_digits(kind: str) -> None:
    assert re.fullmatch(rf"{ids.PREFIXES[kind]}-[A-Za-z0-9]{{16}}", ids.new(kind))


def test_no_two_kinds_share_a_prefix_and_none_is_too_long_for_its_column() -> None:
    assert len(set(ids.PREFIXES.values())) == len(ids.PREFIXES)
    assert max(len(ids.new(kind)) for kind in ids.PREFIXES) <= 32


def test_no_two_ids_are_the_same() -> None:
    assert len({ids.new("run") for _ in range(10_000)}) == 10_000


def test_plan_and_apply_carry_their_runs_suffix() -> None:
    run = ids.new("run")
    assert ids.run_id_of(ids.plan_id(run)) == ids.run_id_of(ids.apply_id(run)) == run
    assert ids.plan_id("run-abc") == "plan-abc"


@pytest.mark.parametrize("wrong", ["", "run", "run-", "ws-abc", "plan-abc"])
def test_what_is_no_run_has_no_plan(wrong: str) -> None:
    with pytest.raises(ValueError, match="is not the id of a run"):
        ids.plan_id(wrong)


@pytest.mark.parametrize("wrong", ["", "plan", "apply-", "run-abc"])
def test_what_is_neither_plan_nor_apply_has_no_run(wrong: str) -> None:
    with pytest.raises(ValueError, match="is not the id of a"):
        ids.run_id_of(wrong)


def test_a_kind_that_is_not_in_the_table_is_a_mistake_at_once() -> None:
    for make in (ids.new, ids.maker):
        with pytest.raises(KeyError):
            make("banana")


def test_a_maker_is_importable_by_its_name_because_migrations_write_it_down() -> None:
    make = ids.maker("state_version")
    assert getattr(ids, make.__name__) is make is ids.maker("state_version")
    assert make().startswith("sv-")


def test_one_function_is_the_source_of_all_randomness(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ids, "random_suffix", lambda: "A" * 16)
    assert ids.new("run") == "run-AAAAAAAAAAAAAAAA"

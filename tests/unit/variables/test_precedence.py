from __future__ import annotations

import itertools

import pytest

from app.secret import Secret
from app.variables.precedence import Candidate, Level, Value, overwritten, winners


def candidate(level: Level, key: str = "region", category: str = "terraform", name: str = "") -> Candidate:
    value = Value(key, Secret(f"{level.name} {name}"), category, hcl=False, sensitive=False, source=level.name)
    return Candidate(value, level, name)


@pytest.mark.parametrize(("stronger", "weaker"), list(itertools.pairwise(Level)))
def test_each_level_beats_the_next(stronger: Level, weaker: Level) -> None:
    candidates = [candidate(weaker), candidate(stronger)]
    assert [value.source for value in winners(candidates)] == [stronger.name]
    assert [lost.level for lost in overwritten(candidates)] == [weaker]


def test_a_run_variable_beats_the_workspaces_and_loses_to_a_priority_set() -> None:
    run, workspace = candidate(Level.RUN), candidate(Level.WORKSPACE)
    assert winners([workspace, run]) == [run.value]
    assert winners([run, candidate(Level.PRIORITY_GLOBAL_SET)])[0].source == "PRIORITY_GLOBAL_SET"


def test_categories_do_not_meet() -> None:
    both = [candidate(Level.WORKSPACE, category="env"), candidate(Level.WORKSPACE, category="terraform")]
    assert len(winners(both)) == 2
    assert overwritten(both) == []


def test_among_sets_of_one_level_the_first_name_by_code_point_wins() -> None:
    sets = [candidate(Level.GLOBAL_SET, name=name) for name in ("b", "a", "Z")]
    assert winners(sets) == [sets[2].value]


def test_the_result_does_not_depend_on_the_order() -> None:
    everyone = [candidate(level, key=key) for level in Level for key in ("a", "b")]
    assert winners(everyone) == winners(reversed(everyone))


def test_a_value_does_not_show_itself() -> None:
    assert "RUN" not in repr(winners([candidate(Level.RUN)])[0].value)

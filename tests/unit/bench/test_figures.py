from __future__ import annotations

import pytest

from bench.figures import Effort, Figure, Goal, percentile, show
from bench.table import Outcome, render


@pytest.mark.parametrize(
    ("share", "value"),
    [(0.5, 50), (0.95, 95), (0.99, 99), (1, 100), (0, 1)],
)
def test_a_percentile_is_a_value_that_was_measured(share: float, value: int) -> None:
    assert percentile(list(range(100, 0, -1)), share) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (2.1264, "2.13 s"),
        (21.264, "21.3 s"),
        (212.64, "213 s"),
        (0.0212, "0.0212 s"),
        (0, "0 s"),
        (9.999, "10.0 s"),
    ],
)
def test_a_figure_shows_the_digits_that_count(value: float, text: str) -> None:
    assert show(value, "s") == text


def test_a_goal_may_bound_the_figure_from_above() -> None:
    assert Figure("x", 300, "ms", Goal(300)).reached
    assert not Figure("x", 301, "ms", Goal(300)).reached


def test_a_goal_may_bound_the_ratio_from_below() -> None:
    goal = Goal(0.4, on="ratio", at_least=True)
    assert Figure("x", 40, "/min", goal, comparison=100).reached
    assert not Figure("x", 39, "/min", goal, comparison=100).reached


def test_a_goal_on_a_ratio_without_a_comparison_is_not_reached() -> None:
    assert Figure("x", 1, "s", Goal(2, on="ratio")).reached is False


def test_a_figure_without_a_goal_is_neither_reached_nor_missed() -> None:
    assert Figure("x", 1, "s").reached is None


def test_quick_takes_the_smaller_number() -> None:
    assert (Effort().of(9, 3), Effort(quick=True).of(9, 3)) == (9, 3)


def test_the_table_is_aligned_and_shows_what_failed() -> None:
    figure = Figure("plan", 2.5, "s", Goal(1.25, on="ratio"), 2.0, "ideal server", note="9 measured")
    text = render([Outcome("plan_wall", 1, [figure]), Outcome("get_run", 1, failure="OSError: no port")])
    assert text.splitlines() == [
        "what     ours    comparison             ratio  goal      reached",
        "───────  ──────  ─────────────────────  ─────  ────────  ───────",
        "plan     2.50 s  2.00 s (ideal server)  1.25   ≤ 1.25 ×  yes",
        "get_run  failed  –                      –      –         –",
        "",
        "  get_run failed: OSError: no port",
        "  plan: 9 measured",
    ]

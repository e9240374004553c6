"""The rule by which a free slot chooses, without a database."""

from __future__ import annotations

import random
from collections import Counter, defaultdict

from app.jobs.order import TURN, next_line

APPLY, PLAN, SPECULATIVE = 0, 1, 2


def test_applies_go_before_plans_and_those_before_speculative_ones() -> None:
    waiting = {("a", SPECULATIVE): 1, ("a", PLAN): 2, ("a", APPLY): 3}
    served = dict.fromkeys(waiting, 0)
    assert next_line(waiting, served, Counter(), turn=1) == ("a", APPLY)


def test_the_organization_with_fewest_jobs_running_is_next() -> None:
    waiting = {("busy", PLAN): 1, ("calm", PLAN): 2}
    served = dict.fromkeys(waiting, 0)
    assert next_line(waiting, served, Counter(busy=1), turn=1) == ("calm", PLAN)


def test_among_equals_the_one_served_longest_ago_is_next() -> None:
    waiting = {("a", PLAN): 1, ("b", PLAN): 2}
    assert next_line(waiting, {("a", PLAN): 9, ("b", PLAN): 4}, Counter(), turn=11) == ("b", PLAN)


def test_every_tenth_claim_goes_to_the_line_that_waited_longest_whatever_its_class() -> None:
    waiting = {("a", APPLY): 5, ("a", SPECULATIVE): 1}
    served = {("a", APPLY): 9, ("a", SPECULATIVE): 2}
    assert next_line(waiting, served, Counter(), turn=TURN) == ("a", SPECULATIVE)


def test_every_waiting_line_is_served_within_ten_claims_per_line() -> None:
    """Organizations that always have something of each class waiting, one slot, arbitrary arrival numbers."""
    chance = random.Random(7)
    lines = [(f"org{number}", priority) for number in range(6) for priority in (APPLY, PLAN, SPECULATIVE)]
    served = dict.fromkeys(lines, 0)
    waits: dict[tuple[str, int], int] = defaultdict(int)
    longest = 0
    for turn in range(1, 5_000):
        waiting = {line: chance.randrange(10**6) for line in lines}
        chosen = next_line(waiting, served, Counter(), turn)
        served[chosen] = turn
        for line in lines:
            waits[line] = 0 if line == chosen else waits[line] + 1
        longest = max(longest, *waits.values())
    assert longest <= TURN * len(lines)

"""The page about other Terraforms says what the matrix has."""

from __future__ import annotations

from tests.clients import table
from tests.clients.walk import ROUTES, STEPS, Route


def expected(route: Route) -> list[str]:
    """A route's row, as far as the code knows it: who carries runs out is measured."""
    steps = dict.fromkeys(STEPS, "works")
    for limit in route.limits:
        steps[limit.step] = limit.reason
        if limit.is_last:
            steps = {step: said for step, said in steps.items() if STEPS.index(step) <= STEPS.index(limit.step)}
    return [route.client.version, str(route.client.package), f"`{route.backend}`", table.verdict(steps)]


def test_the_page_has_a_row_for_each_way_to_use_a_client() -> None:
    rows = table.written(table.PAGE.read_text())
    assert [[*row[:3], row[4]] for row in rows] == [expected(route) for route in ROUTES], "run `make test-clis`"

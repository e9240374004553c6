"""The simulation can fail: each bug that is planted is noticed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.simulation.history import Ground
from tests.simulation.mutations import MUTATIONS
from tests.simulation.running import simulate

#: Within so many histories; most take a handful.
WITHIN = 150


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    ground = Ground()
    yield ground
    ground.close()


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_planted_bug_is_noticed(name: str, ground: Ground) -> None:
    assert simulate(range(WITHIN), ground, broken=MUTATIONS[name], first_only=True)

"""As many histories as two minutes allow; `make simulate` lives as many as one likes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.migrated import migrated
from tests.services import Services
from tests.simulation.history import Ground
from tests.simulation.running import simulate

PIECE = 25


@pytest.fixture(scope="module")
def sqlite() -> Iterator[Ground]:
    ground = Ground()
    yield ground
    ground.close()


@pytest.fixture(scope="module")
def postgresql(services: Services) -> Iterator[Ground]:
    ground = Ground(services.postgresql.copy(migrated, "migrated"), is_migrated=True)
    yield ground
    ground.close()
    services.postgresql.drop(ground.url)


@pytest.mark.parametrize("first", range(0, 300, PIECE))
def test_every_invariant_holds_on_sqlite(first: int, sqlite: Ground) -> None:
    failures = simulate(range(first, first + PIECE), sqlite)
    assert not failures, str(failures[0])


@pytest.mark.parametrize("first", range(0, 100, PIECE))
def test_every_invariant_holds_on_postgresql(first: int, postgresql: Ground) -> None:
    failures = simulate(range(first, first + PIECE), postgresql)
    assert not failures, str(failures[0])

"""What a dead run left is kept, whatever becomes of it."""

from __future__ import annotations

from typing import Any

import pytest

from app import states
from app.errors import Conflict, Unavailable
from app.execution import states_left
from app.runs.models import Run
from app.supervisor.spec import StateResult


class Kept(list[str]):
    """The runs whose state was kept with their apply."""


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Kept:
    kept = Kept()

    async def keep(run: Run, *_: Any) -> None:
        kept.append(run.id)

    monkeypatch.setattr(states_left, "keep", keep)
    return kept


def recovering_raises(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    async def recover(*_: Any) -> None:
        raise error

    monkeypatch.setattr(states, "recover", recover)


async def collect() -> str:
    run: Any = type("OneRun", (), {"id": "run-1", "workspace": None})()
    directory: Any = None
    left: Any = StateResult.__new__(StateResult)
    return await states_left.collect(run, directory, left)


@pytest.mark.parametrize("error", [Conflict("It does not follow."), TypeError("a bug of ours")])
async def test_a_state_that_is_not_taken_in_is_kept(
    error: Exception, kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    recovering_raises(monkeypatch, error)
    monkeypatch.setattr(states_left, "_content", lambda *_: None)
    sentence = await collect()
    assert kept == ["run-1"]
    assert "errored state" in sentence


async def test_while_nothing_can_be_stored_it_is_left_for_the_next_try(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    recovering_raises(monkeypatch, Unavailable("The database is away."))
    monkeypatch.setattr(states_left, "_content", lambda *_: None)
    with pytest.raises(Unavailable):
        await collect()
    assert kept == []

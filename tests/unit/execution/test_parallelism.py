"""How many operations terraform is told to have under way."""

from __future__ import annotations

import pytest

from app.execution import orders
from app.runs.models import Run


@pytest.mark.parametrize(("said", "number"), [("1", 1), ("256", 256), ("010", 10)])
def test_a_number_that_may_be_is_handed_on(said: str, number: int) -> None:
    environment = {"TFE_PARALLELISM": said}
    assert orders.parallelism(environment) == number
    assert orders._remarks(Run(), environment) == []


@pytest.mark.parametrize("said", ["999", "257", "0", "-3", "abc", "1.5", " 5", "٣", "9" * 5000])
def test_what_is_none_is_ignored_and_said(said: str) -> None:
    environment = {"TFE_PARALLELISM": said}
    assert orders.parallelism(environment) is None
    [remark] = orders._remarks(Run(), environment)
    assert "TFE_PARALLELISM is ignored" in remark
    assert len(remark) < 200


@pytest.mark.parametrize("environment", [{}, {"TFE_PARALLELISM": ""}])
def test_nothing_said_is_nothing_ignored(environment: dict[str, str]) -> None:
    assert orders.parallelism(environment) is None
    assert orders._remarks(Run(), environment) == []

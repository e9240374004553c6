from __future__ import annotations

import pytest

from app.access import credentials
from app.access.credentials import Kind


@pytest.mark.parametrize("kind", Kind)
def test_a_token_tells_its_kind(kind: Kind) -> None:
    assert credentials.kind_of(credentials.generate(kind).reveal()) is kind


def test_a_typo_is_told_from_a_stranger() -> None:
    text = credentials.generate(Kind.USER).reveal()
    for at in (3, 20, 30, len(text) - 1):
        other = "x" if text[at] != "x" else "y"
        assert credentials.kind_of(text[:at] + other + text[at + 1 :]) is None


@pytest.mark.parametrize("text", ["", "x", "sru.stateroom.", "Bearer x", "sru" + "é" * 65, "a" * 100_000])
def test_what_is_no_token_is_none(text: str) -> None:
    assert credentials.kind_of(text) is None


def test_the_public_part_does_not_hold_the_secret() -> None:
    text = credentials.generate(Kind.USER)
    assert credentials.public_part(text) == text.reveal().partition(".")[0]


def test_no_two_tokens_are_alike() -> None:
    assert len({credentials.generate(Kind.RUN).reveal() for _ in range(1000)}) == 1000

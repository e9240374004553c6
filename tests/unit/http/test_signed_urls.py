from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import clock
from app.errors import NotFound
from app.http import signed_urls
from app.http.signed_urls import Grant, SigningKey
from app.secret import Secret

BASE = "https://localhost:8443"


@pytest.fixture(autouse=True)
def _key() -> Iterator[None]:
    before = signed_urls._key
    signed_urls.configure(SigningKey(Secret(b"k" * 32)))
    yield
    signed_urls._key = before


class At:
    def __init__(self, moment: datetime) -> None:
        self.moment = moment

    def now(self) -> datetime:
        return self.moment

    def monotonic(self) -> float:
        return 0.0


def token_of(url: str) -> str:
    return url.removeprefix(BASE + "/v1/object/")


def test_a_signed_url_grants_what_it_was_signed_for() -> None:
    url = signed_urls.sign("archive-upload", "cv-1234567890abcdef", base_url=BASE)

    assert url.startswith(BASE + "/v1/object/")
    assert "?" not in url
    assert "/" not in token_of(url)
    assert signed_urls.verify(token_of(url)) == Grant("archive-upload", "cv-1234567890abcdef")


def test_it_holds_for_25_hours_and_no_longer() -> None:
    start = datetime(2026, 3, 4, tzinfo=UTC)
    with clock.using(At(start)):
        token = token_of(signed_urls.sign("log", "plan-1", base_url=BASE))
    with clock.using(At(start + timedelta(hours=25))):
        assert signed_urls.verify(token) == Grant("log", "plan-1")
    with clock.using(At(start + timedelta(hours=25, seconds=1))), pytest.raises(NotFound, match="expired"):
        signed_urls.verify(token)


def test_a_link_may_ask_for_a_shorter_life() -> None:
    start = datetime(2026, 3, 4, tzinfo=UTC)
    with clock.using(At(start)):
        token = token_of(signed_urls.sign("plan-json", "plan-1", base_url=BASE, life=60))
    with clock.using(At(start + timedelta(seconds=61))), pytest.raises(NotFound):
        signed_urls.verify(token)


@given(st.integers(min_value=0), st.characters(min_codepoint=33, max_codepoint=126))
def test_changing_one_character_ends_the_grant(place: int, character: str) -> None:
    signed_urls.configure(SigningKey(Secret(b"k" * 32)))
    token = token_of(signed_urls.sign("state", "sv-1", base_url=BASE))
    at = place % len(token)
    changed = token[:at] + character + token[at + 1 :]

    if changed != token:
        with pytest.raises(NotFound):
            signed_urls.verify(changed)


@given(st.text())
def test_any_other_text_grants_nothing(text: str) -> None:
    signed_urls.configure(SigningKey(Secret(b"k" * 32)))
    with pytest.raises(NotFound):
        signed_urls.verify(text)


def test_another_key_signs_something_else_and_a_retired_one_still_counts() -> None:
    token = token_of(signed_urls.sign("log", "plan-1", base_url=BASE))

    signed_urls.configure(SigningKey(Secret(b"n" * 32), retired=(Secret(b"k" * 32),)))
    assert signed_urls.verify(token) == Grant("log", "plan-1")
    signed_urls.configure(SigningKey(Secret(b"n" * 32)))
    with pytest.raises(NotFound):
        signed_urls.verify(token)


def test_the_key_does_not_show_itself() -> None:
    assert "kkk" not in repr(SigningKey(Secret(b"k" * 32)))


@pytest.mark.parametrize("id", ["", "a.b", "a/b", "x" * 101])
def test_an_id_that_would_not_survive_the_path_is_not_signed(id: str) -> None:
    with pytest.raises(ValueError, match="letters"):
        signed_urls.sign("log", id, base_url=BASE)

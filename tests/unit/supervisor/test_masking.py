from __future__ import annotations

import base64
import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.supervisor.masking import MASK, Masker, mask

SECRETS = st.lists(
    st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"]), min_size=6, max_size=40)
    | st.text(alphabet="ab+/=&<%é", min_size=6, max_size=150),
    min_size=1,
    max_size=5,
)


def in_pieces(data: bytes, sizes: list[int]) -> list[bytes]:
    pieces, at = [], 0
    for size in sizes:
        pieces.append(data[at : at + size])
        at += size
    return [*pieces, data[at:]]


def spellings(secret: str) -> list[bytes]:
    raw = secret.encode()
    go = json.dumps(secret, ensure_ascii=False)[1:-1]
    for character in "<>&":
        go = go.replace(character, f"\\u{ord(character):04x}")
    once = json.dumps(secret, ensure_ascii=False)[1:-1]
    return [
        raw,
        json.dumps(secret)[1:-1].encode(),
        go.encode(),
        json.dumps(once, ensure_ascii=False)[1:-1].encode(),
        quote(secret, safe="").encode(),
        quote_plus(secret).encode(),
        base64.b64encode(raw),
        base64.urlsafe_b64encode(b"user:" + raw).rstrip(b"="),
    ]


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_split_and_whole_text_are_masked_alike(data: st.DataObject) -> None:
    secrets = data.draw(SECRETS)
    fillers = st.sampled_from([b"", b" ", b"a", "é".encode(), b"plain text\n", MASK])
    hits = st.sampled_from([spelling for secret in secrets for spelling in spellings(secret)])
    text = b"".join(data.draw(st.lists(hits | fillers | hits.map(lambda hit: hit[:-1]), max_size=12)))
    pieces = in_pieces(text, data.draw(st.lists(st.integers(1, 9), max_size=60)))
    masker = Masker(secrets)
    split = b"".join([*map(masker.feed, pieces), masker.finish()])
    assert (split, masker.count) == mask(text, secrets)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_no_spelling_of_a_secret_survives(data: st.DataObject) -> None:
    secrets = data.draw(SECRETS)
    secret = data.draw(st.sampled_from(secrets))
    spelling = data.draw(st.sampled_from(spellings(secret)))
    masked, count = mask(b"before<" + spelling + b">after", secrets)
    assert spelling not in masked
    assert count >= 1


def test_text_without_secrets_stays_as_it_is() -> None:
    text = b"nothing to see \xff\x00 here"
    assert mask(text, ["the-secret"]) == (text, 0)


def test_secrets_that_overlap_leave_no_rest_of_either() -> None:
    assert mask(b"xx abcdefghi yy", ["abcdef", "defghi"]) == (b"xx (sensitive) yy", 1)


def test_every_line_of_a_secret_counts_for_itself() -> None:
    key = "-----BEGIN KEY-----\n  c2VjcmV0LXN0dWZm  \n-----END KEY-----\n"
    masked, count = mask(b"it is c2VjcmV0LXN0dWZm indeed", [key])
    assert (masked, count) == (b"it is (sensitive) indeed", 1)
    whole = base64.b64encode(key.encode())
    assert mask(whole, [key])[0] == MASK


def test_a_secret_longer_than_a_piece_is_masked_once() -> None:
    secret = "".join(f"{number:03x}" for number in range(200))
    assert mask(f"<{secret}>".encode(), [secret]) == (b"<(sensitive)>", 1)


def test_a_long_secret_is_masked_once_however_it_arrives() -> None:
    secret = "".join(f"{number:03x}" for number in range(200))
    masker = Masker([secret])
    out = b"".join(masker.feed(bytes([byte])) for byte in f"<{secret}>".encode()) + masker.finish()
    assert (out, masker.count) == (b"<(sensitive)>", 1)


@pytest.mark.parametrize("short", ["", "a", "12345"])
def test_what_is_too_short_is_left_alone(short: str) -> None:
    assert mask(b"12345 a 12345", [short]) == (b"12345 a 12345", 0)


def test_only_a_tail_that_may_become_a_secret_is_held_back() -> None:
    masker = Masker(["password"])
    assert masker.feed(b"the pass") == b"the "
    assert masker.feed(b"age is free, the passw") == b"passage is free, the "
    assert masker.feed(b"ord") == MASK
    assert masker.finish() == b""


def test_another_text_does_not_disturb_the_stream() -> None:
    masker = Masker(["password"])
    masker.feed(b"pass")
    assert masker.whole(b"host=password.example") == b"host=(sensitive).example"
    assert masker.feed(b"word") == MASK
    assert masker.count == 1

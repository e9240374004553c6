"""Sealed values and streams, key rings, digests."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import settings
from app.storage import crypto, keys
from app.storage.crypto import CHUNK, Damaged, OpeningStream, SealingStream
from app.storage.keys import KeyRingError

HERE = ("variable", "org-1", "var-1")


@pytest.fixture(autouse=True)
def ring() -> Iterator[keys.KeyRing]:
    made = keys.generate()
    keys.use(made)
    yield made
    keys.use(None)


def test_a_value_comes_back_in_its_own_context_only() -> None:
    sealed = crypto.seal(b"hunter2", context=HERE)
    assert crypto.open_sealed(sealed, context=HERE) == b"hunter2"
    for elsewhere in (("variable", "org-2", "var-1"), ("variable", "org-1var-1"), ("variable", "org-", "1var-1"), ()):
        with pytest.raises(Damaged):
            crypto.open_sealed(sealed, context=elsewhere)


def test_a_sealed_value_shows_neither_itself_nor_that_it_is_the_same() -> None:
    one, two = crypto.seal(b"hunter2", context=HERE), crypto.seal(b"hunter2", context=HERE)
    assert b"hunter2" not in one
    assert one != two


def test_a_value_with_any_byte_changed_does_not_open() -> None:
    sealed = crypto.seal(b"hunter2", context=HERE)
    for at in range(len(sealed)):
        changed = bytearray(sealed)
        changed[at] ^= 1
        with pytest.raises((Damaged, KeyRingError)):
            crypto.open_sealed(bytes(changed), context=HERE)
    for length in range(len(sealed)):
        with pytest.raises((Damaged, KeyRingError)):
            crypto.open_sealed(sealed[:length], context=HERE)


def test_after_a_new_key_old_values_open_and_new_ones_use_it(ring: keys.KeyRing) -> None:
    old = crypto.seal(b"old", context=HERE)
    token = crypto.digest("token")
    newer = keys.with_new_key(ring)
    keys.use(newer)
    new = crypto.seal(b"new", context=HERE)
    assert crypto.open_sealed(old, context=HERE) == b"old"
    assert (crypto.key_of(old), crypto.key_of(new)) == (ring.active, newer.active)
    assert token in crypto.digests("token")
    assert crypto.digest("token") == crypto.digests("token")[0] != token


def test_a_value_of_a_key_that_is_gone_says_which(ring: keys.KeyRing) -> None:
    sealed = crypto.seal(b"old", context=HERE)
    keys.use(keys.generate())
    with pytest.raises(KeyRingError, match=ring.active):
        crypto.open_sealed(sealed, context=HERE)


def test_purposes_have_different_keys(ring: keys.KeyRing) -> None:
    assert len({ring.subkey("values"), ring.subkey("data keys"), ring.subkey("signed urls")}) == 3


def test_the_ring_does_not_show_its_keys(ring: keys.KeyRing) -> None:
    key = ring.keys[ring.active].reveal()
    assert repr(key)[2:-1] not in repr(ring)


def seal_all(pieces: list[bytes], data_key: bytes) -> bytes:
    sealing = SealingStream(data_key, context=HERE)
    return b"".join([*map(sealing.feed, pieces), sealing.finish()])


def open_all(sealed: bytes, data_key: bytes, step: int, context: tuple[str, ...] = HERE) -> bytes:
    opening = OpeningStream(data_key, context=context)
    plain = [opening.feed(sealed[at : at + step]) for at in range(0, len(sealed), step)]
    return b"".join([*plain, opening.finish()])


KEY = bytes(32)


@given(st.lists(st.integers(0, 3 * CHUNK), max_size=4), st.integers(1000, 5 * CHUNK))
def test_a_stream_comes_back_however_it_is_cut(lengths: list[int], step: int) -> None:
    pieces = [bytes([at]) * length for at, length in enumerate(lengths)]
    assert open_all(seal_all(pieces, KEY), KEY, step) == b"".join(pieces)


@pytest.mark.parametrize("length", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 1])
def test_a_stream_cut_anywhere_is_noticed(length: int) -> None:
    sealed = seal_all([b"x" * length], KEY)
    for end in {0, 1, 23, 24, 25, len(sealed) // 2, *range(len(sealed) - 20, len(sealed))}:
        if end < len(sealed):
            with pytest.raises(Damaged):
                open_all(sealed[: max(end, 0)], KEY, 100_000)


def test_a_stream_cut_at_a_chunks_border_is_noticed() -> None:
    sealed = seal_all([b"x" * (3 * CHUNK)], KEY)
    for chunks in (1, 2):
        with pytest.raises(Damaged, match="cut short"):
            open_all(sealed[: crypto.HEADER + chunks * crypto.SEALED_CHUNK], KEY, 100_000)


def test_a_stream_that_goes_on_after_its_end_or_was_swapped_is_noticed() -> None:
    sealed = seal_all([b"x" * (CHUNK + 5)], KEY)
    with pytest.raises(Damaged):
        open_all(sealed + b"more", KEY, 100_000)
    with pytest.raises(Damaged):
        open_all(sealed, KEY, 100_000, context=("state", "org-2", "obj-1"))
    with pytest.raises(Damaged):
        open_all(sealed, bytes([1]) * 32, 100_000)
    first, second = sealed[24 : 24 + crypto.SEALED_CHUNK], sealed[24 + crypto.SEALED_CHUNK :]
    with pytest.raises(Damaged):
        open_all(sealed[:24] + second + first, KEY, 100_000)


def test_a_key_file_is_private_whole_and_comes_back(tmp_path: Path, ring: keys.KeyRing) -> None:
    configured = settings.load(data_dir=tmp_path)
    keys.save(ring, keys.key_file(configured))
    assert keys.load(configured) == keys.KeyRing(ring.keys, ring.active, f"The key file {tmp_path / 'keys.json'}")
    assert keys.key_file(configured).stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == ["keys.json"]
    with pytest.raises(FileExistsError):
        keys.save(keys.generate(), keys.key_file(configured))


def test_a_ring_can_come_from_the_environment(tmp_path: Path, ring: keys.KeyRing) -> None:
    assert keys.load(settings.load(data_dir=tmp_path, keys=keys.dump(ring))).active == ring.active


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("hello", "is not a key ring"),
        ("[]", "is not a key ring"),
        ('{"active": "k1", "keys": {}}', "does not hold it"),
        ('{"active": "k1", "keys": {"k1": "AAAA"}}', "damaged key k1"),
        ('{"active": "k1", "keys": {"k1": 7}}', "damaged key k1"),
    ],
)
def test_a_wrong_key_file_says_what_is_wrong_and_shows_nothing(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "keys.json"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(KeyRingError, match=says) as raised:
        keys.load(settings.load(data_dir=tmp_path))
    assert "AAAA" not in raised.value.sentence


def test_a_key_under_another_ones_name_is_noticed(tmp_path: Path, ring: keys.KeyRing) -> None:
    document = json.loads(keys.dump(ring).reveal())
    document["keys"][ring.active] = json.loads(keys.dump(keys.generate()).reveal())["keys"].popitem()[1]
    with pytest.raises(KeyRingError, match="is another"):
        keys.parse(json.dumps(document), "It")


def test_a_key_file_that_others_can_read_is_refused_with_the_remedy(tmp_path: Path, ring: keys.KeyRing) -> None:
    keys.save(ring, tmp_path / "keys.json")
    (tmp_path / "keys.json").chmod(0o644)
    with pytest.raises(KeyRingError, match="chmod 600"):
        keys.load(settings.load(data_dir=tmp_path))

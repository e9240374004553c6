"""Who signed a delivery; the first vector is GitHub's own."""

from __future__ import annotations

import hashlib
import hmac

import pytest

from app.secret import Secret
from github_app.signatures import is_signed, sign

SECRET = Secret("It's a Secret to Everybody")
BODY = b"Hello, World!"
SIGNATURE = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
SHA1 = "sha1=" + hmac.new(SECRET.reveal().encode(), BODY, hashlib.sha1).hexdigest()


def test_the_documented_vector_is_good() -> None:
    assert sign(BODY, SECRET) == SIGNATURE
    assert is_signed(BODY, SIGNATURE, [SECRET])


def test_two_secrets_are_good_while_one_is_changed() -> None:
    assert is_signed(BODY, SIGNATURE, [Secret("new"), SECRET])
    assert is_signed(BODY, sign(BODY, Secret("new")), [Secret("new"), SECRET])
    assert not is_signed(BODY, SIGNATURE, [Secret("new")])


@pytest.mark.parametrize(
    "signature",
    [
        *(None, "", "sha256=", SHA1, SHA1.removeprefix("sha1="), SIGNATURE.removeprefix("sha256=")),
        *(SIGNATURE.upper(), SIGNATURE[:-1] + "8", SIGNATURE + "0", SIGNATURE + "\n", " " + SIGNATURE),
        *("sha256=" + "é" * 64, "sha256=" + "٣" * 64, f"{SIGNATURE},{SIGNATURE}"),
    ],
)
def test_anything_else_is_not(signature: str | None) -> None:
    assert not is_signed(BODY, signature, [SECRET])


def test_a_byte_more_is_another_body() -> None:
    assert not is_signed(BODY + b"\n", SIGNATURE, [SECRET])


def test_an_empty_secret_signs_nothing() -> None:
    assert not is_signed(BODY, sign(BODY, Secret("")), [Secret("")])
    assert not is_signed(BODY, SIGNATURE, [])

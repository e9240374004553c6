"""What is shown of a delivery holds nothing that people wrote, and nothing that lets somebody in."""

from __future__ import annotations

import json

import pytest

from github_app import redaction
from tests.github import examples

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln"


@pytest.mark.parametrize(
    "told",
    [
        {"webhook_secret": "hush0123"},
        {"key": "hush0123"},
        {"Authorization": {"bearer": "hush0123"}},
        {"title": "the password is hush0123"},
        {"note": f"ghs_hush0123{'a' * 20}"},
        {"note": f"github_pat_hush0123{'a' * 20}"},
        {"note": JWT + "hush0123"},
        {"note": "AKIAhush0123".upper() + "hush0123"},
        {"note": "-----BEGIN RSA PRIVATE KEY-----\nhush0123"},
        {"url": "https://user:hush0123@github.example/x"},
        {"url": "https://github.example/x?sig=hush0123"},
        {"ghp_hush0123aaaaaaaa": 1},
        {"deep": [[[[[[[[["hush0123"]]]]]]]]]},
        {"many": [*range(10), "hush0123"]},
        ["x" * 300 + "hush0123"],
    ],
)
def test_nothing_of_it_is_shown(told: object) -> None:
    shown = redaction.shown(json.dumps(told).encode())
    assert shown is not None
    assert "hush0123" not in shown


def test_what_it_is_about_is_shown() -> None:
    told = {
        "ref": "refs/heads/main",
        "after": "a" * 40,
        "repository": {"id": 7, "full_name": "acme/infra", "private": True, "url": "https://github.example/acme/infra"},
    }
    assert json.loads(redaction.shown(json.dumps(told).encode()) or "") == told


def test_it_is_bounded_and_never_fails() -> None:
    assert redaction.shown(b"[" * 100_000) is None
    assert redaction.shown(b"\xff") is None
    assert redaction.shown(b" " * (redaction.LONGEST_BODY + 1)) is None
    wide = redaction.shown(json.dumps({str(number): number for number in range(50_000)}).encode())
    assert wide is not None
    assert len(wide) < redaction.MOST_SHOWN + 100
    for bodies in examples.all_of_them().values():
        for body in bodies:
            assert redaction.shown(json.dumps(body).encode()), "each of GitHub's own can be shown"

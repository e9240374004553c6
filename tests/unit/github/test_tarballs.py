"""An archive is fetched from GitHub's own hosts only."""

from __future__ import annotations

import pytest

from github_app import tarballs
from github_app.client import Refused


@pytest.mark.parametrize(
    "address",
    [
        "https://evil.example/x",
        "https://localhost.evil.example/x",
        "https://evilgithub.com/x",
        "https://github.com@evil.example/x",
        "http://github.com/x",
        "http://evil.example/x",
        "",
        "//x",
        "https://[",
        "file:///x",
    ],
)
async def test_an_archive_elsewhere_is_not_fetched(address: str) -> None:
    for web_url in ("http://localhost:1", "https://github.com"):
        with pytest.raises(Refused):
            assert [piece async for piece in tarballs.stream(address, web_url, "It")] == []

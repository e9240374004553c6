"""Addresses of submodules: what is left of them is on the repository's own host."""

from __future__ import annotations

from pathlib import Path

import pytest

from github_app.submodules import NotFetched, Submodule, listed

SHA = "a" * 40
HOME = "https://github.com/acme/net.git"


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("../modules", "acme/modules"),
        ("../modules.git/", "acme/modules.git"),
        ("../../beta/x", "beta/x"),
        ("./../x", "acme/x"),
        ("https://github.com/beta/x.git", "beta/x.git"),
        ("https://GitHub.com:443/beta/x", "beta/x"),
        ("https://someone:secret@github.com/beta/x", "beta/x"),
        ("git@github.com:beta/x.git", "beta/x.git"),
        ("ssh://git@github.com/beta/x", "beta/x"),
    ],
)
def test_an_address_on_the_repositorys_host_is_made_anew(written: str, expected: str) -> None:
    assert Submodule("m", SHA, written).address(HOME) == f"https://github.com/{expected}"


@pytest.mark.parametrize(
    "written",
    [
        "",
        "http://localhost:8540/internal/thing.git",
        "http://github.com/beta/x",
        "https://github.com:8443/beta/x",
        "https://github.com.evil.example/beta/x",
        "https://github.com@evil.example/beta/x",
        "https://github.com\\@evil.example/beta/x",
        "https://evil.example#@github.com/beta/x",
        "https://evil.example/?@github.com/beta/x",
        "https://[::1/beta/x",
        "https://github.com:x/beta/x",
        "https://github.com/beta/../x",
        "https://github.com/beta/%2e%2e",
        "https://github.com/beta/x?service=y",
        "https://github.com/api/v3/meta",
        "https://github.com/beta",
        "//github.com/beta/x",
        "../../../x/y",
        "../..",
        "../../../../evil.example/x",
        "./x",
        "/etc/passwd",
        "file:///etc/passwd",
        "git://github.com/beta/x",
        "git@evil.example:beta/x",
        "root@github.com:beta/x",
        "ext::sh -c x",
        "-x",
    ],
)
def test_no_other_address_is_fetched(written: str) -> None:
    with pytest.raises(NotFetched, match=r"come from github\.com only") as caught:
        Submodule("a\n\x1bm", SHA, written).address(HOME)
    assert "'am'" in caught.value.sentence


def test_submodules_are_listed_with_what_is_written_of_them() -> None:
    status = f"-{SHA} a b\n {SHA} c (v1)\nwarning: x\n-{SHA} off\n-{SHA} lost\n"
    settings = (
        "submodule.x.y.path\na b\0submodule.x.y.url\n../one\0submodule.x.y.url\n../two\0"
        "submodule.c.path\nc/\0submodule.c.shallow\0submodule.off.path\noff\0submodule.off.update\nnone\0"
    )
    assert list(listed(status, settings)) == [
        Submodule("a b", SHA, "../two"),
        Submodule("c", SHA, ""),
        Submodule("lost", SHA, ""),
    ]


def test_a_submodule_has_its_own_empty_directory(tmp_path: Path) -> None:
    (tmp_path / "tree" / "full").mkdir(parents=True)
    (tmp_path / "tree" / "full" / "file").touch()
    (tmp_path / "tree" / "empty").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "tree" / "link").symlink_to("../elsewhere")
    assert Submodule("empty", SHA, "").directory(tmp_path / "tree") == tmp_path / "tree" / "empty"
    for path in ("full", "link", "../elsewhere", "missing", str(tmp_path / "elsewhere")):
        with pytest.raises(NotFetched, match="no directory of its own"):
            Submodule(path, SHA, "").directory(tmp_path / "tree")

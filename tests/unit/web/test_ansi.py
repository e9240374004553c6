from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.web.ansi import STYLE, Painter

PIECES = st.sampled_from(
    ["\x1b[", "\x1b", "\x9b", "m", "1", "31", "38;5;", "48;2;1;2;3", ";", ":", "0", "\r", "<script>", "&", '"', "x",
     "é", "\x1b]0;title\x07", "\x1b]8;;http://x\x1b\\", "\x1b(B", "K", "\x00", "\t", "\u2028"]
)  # fmt: skip
TEXTS = st.lists(PIECES | st.text(max_size=5), max_size=30).map("".join)
MARKUP = re.compile(r'(?:<span class="[a-z](?: [a-z])*">[^<>"]*</span>|[^<>"]|&#34;)*')


@given(st.lists(TEXTS, max_size=5))
def test_whatever_comes_only_our_own_tags_go_out(lines: list[str]) -> None:
    painter = Painter()
    for line in lines:
        markup = str(painter.line(line))
        assert MARKUP.fullmatch(markup)
        assert not re.search(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]", markup)
        assert STYLE.fullmatch(painter.style)


@given(st.lists(TEXTS, max_size=5), TEXTS)
def test_a_painter_goes_on_where_another_stopped(before: list[str], line: str) -> None:
    first = Painter()
    for text in before:
        first.line(text)
    assert Painter(first.style).line(line) == first.line(line)


@given(st.text(alphabet=st.characters(exclude_categories=["Cc", "Cs"])))
def test_a_text_without_sequences_keeps_every_character(text: str) -> None:
    assert Painter().line(text).unescape() == text


@pytest.mark.parametrize(
    ("text", "markup"),
    [
        ("\x1b[32m+\x1b[0m create", '<span class="a">+</span> create'),
        ("\x1b[1m\x1b[31mError\x1b[0m", '<span class="d h">Error</span>'),
        ("\x1b[31m-\x1b[0m/\x1b[32m+", '<span class="d">-</span>/<span class="a">+</span>'),
        ("\x1b[38;5;196mred\x1b[38;2;1;2;3mblue", "redblue"),
        ("\x1b[38;5;31;1mbold", '<span class="h">bold</span>'),
        ("\x1b[2Kgone\x1b[1;1H", "gone"),
        ("\x1b]8;;https://x.test\x07link\x1b]8;;\x07", "link"),
        ("\x1b[m\x1b", ""),
        ("10%\r50%\r100%", "100%"),
        ("done\r", "done"),
        ("\x1b[33m10%\r20%", '<span class="c">20%</span>'),
        ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        ("bell\x07 tab\there", "bell tab\there"),
    ],
)
def test_sequences_become_classes_or_nothing(text: str, markup: str) -> None:
    assert str(Painter().line(text)) == markup


def test_a_style_lasts_until_it_is_ended() -> None:
    painter = Painter()
    painter.line("\x1b[1;32mone")
    assert str(painter.line("two\x1b[22m three\x1b[39m four")) == (
        '<span class="a h">two</span><span class="a"> three</span> four'
    )

"""Untrusted text inside GitHub's Markdown: it stays text, notifies nobody, links nowhere and hides nothing.

Addresses, values, messages and titles come from whoever wrote the configuration.  Source: `github-app.md` §7.3 of the
protocol notes.
"""

from __future__ import annotations

import re
import unicodedata

CUT = "…"
_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_TICKS = re.compile(r"`+")
#: Cc controls, Cf formats (bidi, zero width), Cs lone surrogates, Zl/Zp line and paragraph separators.
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def clean(text: str, *, lines: bool = False) -> str:
    """*text* without what a terminal or a reader's eye would be fooled by; line feeds stay if *lines*."""
    text = _ANSI.sub("", text.replace("\r\n", "\n"))
    kept = "\n\t" if lines else ""
    return "".join(one if one in kept or unicodedata.category(one) not in _HIDDEN else " " for one in text)


def cut(text: str, most: int) -> str:
    """*text* of at most *most* characters, an ellipsis where it goes on."""
    return text if len(text) <= most else text[: most - len(CUT)] + CUT


def code(text: str, most: int = 200) -> str:
    """*text* in a code span, where nothing means anything."""
    text = cut(" ".join(clean(text).split()), most) or " "
    ticks = "`" * (_longest_run(text) + 1)
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{ticks}{pad}{text}{pad}{ticks}"


def cell(text: str, most: int = 120) -> str:
    """A code span for a table's cell, in which a bar must be escaped even there."""
    return code(text, most).replace("|", "\\|")


def prose(text: str, most: int = 300) -> str:
    """*text* as plain words between others."""
    text = cut(" ".join(clean(text).split()), most)
    text = re.sub(r"([\\`*_{}\[\]()#+!|~>-])", r"\\\1", text.replace("&", "&amp;").replace("<", "&lt;"))
    return text.replace("@", "@\u200b").replace("://", ":\u200b//").replace("www.", "www\u200b.")


def fence(text: str, language: str = "") -> str:
    """*text* as a block of code, longer ticks around it than it has itself."""
    text = clean(text, lines=True).rstrip("\n")
    ticks = "`" * max(3, _longest_run(text) + 1)
    return f"{ticks}{language}\n{text}\n{ticks}"


def details(summary: str, body: str) -> str:
    """A fold; *summary* is a code span or safe text, shown as HTML, so its own angle brackets are escaped."""
    return f"<details><summary>{summary}</summary>\n\n{body}\n\n</details>"


def html(text: str, most: int = 200) -> str:
    """*text* as the content of an HTML element `<code>`."""
    text = cut(" ".join(clean(text).split()), most)
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return f"<code>{text.replace('@', '@&#8203;').replace('`', '&#96;')}</code>"


def _longest_run(text: str) -> int:
    return max((len(run) for run in _TICKS.findall(text)), default=0)

"""What may be written behind a variable's name, and what would say more than that."""

from __future__ import annotations

import pytest

from app.variables.expressions import is_expression, unknown_word

OBJECT = '{\n  name  = "a" # a comment\n  ports = [1, 2]\n}'


@pytest.mark.parametrize(
    "text",
    [
        *("1", "-1.5e3", "true", "null", '"größe 𝄞"', '"a\\"b\\n"', '"${1 + 1}"', '"$${b} %%{c}"', OBJECT),
        *('"$$${x}"', '"%%%{if}"', '"%%%%{"', '"$%{ if true }x%{ endif }"', '"%${1}"', "<<EOT\n%%%{\nEOT"),
        *("[\n  1,\n  2,\n]", "{}", "[]", '{ "a" : 1, }', "<<EOT\nb = 2\nEOT", "<<-EOT\n  b = 2\n  EOT\n"),
        *(
            '"%{ if true }x%{ endif }"',
            "[for s in [1] : s]",
            "true ? 1 : 2",
            "1 # one",
            "1 /* \n */",
            "{\r\n a = 1\r\n}",
        ),
    ],
)
def test_an_expression_is_one(text: str) -> None:
    assert is_expression(text)


@pytest.mark.parametrize(
    "text",
    [
        *("", "1\nb = 2", "1\r\nb = 2", "1 # one\nb = 2", "1\n/* */ b = 2", '"a"\nb "c" {}', "1\nb {\n}"),
        *(
            "<<EOT\nx\nEOT\nb = 2",
            "<<-EOT\n x\n EOT\nb = 2",
            "[1]\nb = [2]",
            '"${"x"}"\nb = "y"',
            "1 }\nb = {",
            '"$$${"\nb = "}"',
            '"%%%{"\nb = "}"',
            '"$$$${"\nb = "}"',
            '"$${"\nb = "}"',
            "$${}",
            "%%{}\nb = 1",
            "(1",
            '"',
        ),
    ],
)
def test_what_would_define_more_or_nothing_is_none(text: str) -> None:
    assert not is_expression(text)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ('file("/etc/passwd")', "the function file"),
        ('"x${timestamp()}"', "the function timestamp"),
        ("{ a = [provider::x::f(1)] }", "the function provider::x::f"),
        ("hello", "the name hello"),
        ("{ (a) = 1 }", "the name a"),
        ("[for s in [1] : t]", "the name t"),
        ("<<EOT\n${local.x}\nEOT", "the name local"),
    ],
)
def test_what_no_file_of_variables_knows_is_named(text: str, word: str) -> None:
    assert is_expression(text)
    assert unknown_word(text) == word


@pytest.mark.parametrize(
    "text",
    [
        *("1", '"file(x)"', "{ a = 1, b : 2 }", "[for k, v in { a = 1 } : { (k) = v, k = 1 } if v > 0]", "1 + 1"),
        *(
            '"$${file(x)}"',
            '"%{ for s in [1] }${s}%{ endfor }"',
            "<<EOT\nfile(x)\nEOT",
            "null",
            "[" * 9999 + "]" * 9999,
        ),
    ],
)
def test_a_value_that_is_known_from_its_text_asks_for_nothing(text: str) -> None:
    assert unknown_word(text) is None


def test_deep_brackets_are_no_trouble() -> None:
    assert is_expression("[" * 20_000 + "]" * 20_000)

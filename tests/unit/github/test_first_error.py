"""The first error block of a log, as Terraform prints it now and as it did."""

from __future__ import annotations

import pytest

from github_app import first_error

FRAMED = (
    "\x02Initializing...\r\n\x1b[33m╷\x1b[0m\n\x1b[33m│\x1b[0m \x1b[1mWarning: \x1b[0mOld\n\x1b[33m╵\x1b[0m\n"
    "\x1b[31m╷\x1b[0m\x1b[0m\n"
    "\x1b[31m│\x1b[0m \x1b[0m\x1b[1m\x1b[31mError: \x1b[0m\x1b[0m\x1b[1mReference to undeclared resource\x1b[0m\n"
    "\x1b[31m│\x1b[0m \x1b[0m\n"
    "\x1b[31m│\x1b[0m \x1b[0m  on main.tf line 3, in output \"x\":\n"
    "\x1b[31m│\x1b[0m \x1b[0m   3:   value = \x1b[4mfoo.bar\x1b[0m\n"
    "\x1b[31m╵\x1b[0m\x1b[0m\n"
    "\x1b[31m╷\x1b[0m\n\x1b[31m│\x1b[0m \x1b[31mError: \x1b[0mAnother\n\x1b[31m╵\x1b[0m\n\x03"
)  # fmt: skip
BLOCK = 'Error: Reference to undeclared resource\n\n  on main.tf line 3, in output "x":\n   3:   value = foo.bar'


@pytest.mark.parametrize(
    ("log", "block"),
    [
        (FRAMED, BLOCK),
        ("│ Error: Cut off", "Error: Cut off"),
        ("1 to add\n\nError: None such\n\n  on a.tf line 1:\n\n\nafterwards", "Error: None such\n\n  on a.tf line 1:"),
        ("\nError: One\n\nmore of it\nError: Two\n", "Error: One\n\nmore of it"),
        ("No error here: Error: in the middle of a line\n", ""),
        ("Error: \n", ""),
        ("", ""),
    ],
)  # fmt: skip
def test_the_first_block_is_taken_whole_and_plain(log: str, block: str) -> None:
    assert first_error.within(log) == block

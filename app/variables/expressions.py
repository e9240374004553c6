"""Whether a text is one expression of Terraform's language, so that writing it behind a name defines that name alone.

Without this look a value like ``1`` and, on a line of its own, ``other = 2`` would define another variable as well,
over whatever precedence says.
"""

from __future__ import annotations

import re

import tree_sitter_hcl
from tree_sitter import Language, Parser

_LANGUAGE = Language(tree_sitter_hcl.language())
_COMMENT = "comment"
#: Two or more of them before a brace are text to Terraform (`"$$${x}"` is ``$${x}``), and the grammar reads three as
#: the begin of a template.  What is put instead is text in a string and an error elsewhere.
_ESCAPED = re.compile(r"(?:\$\$+|%%+)(?=\{)")
_TEXT = "@"


def is_expression(text: str) -> bool:
    """What is not understood is none."""
    read = _ESCAPED.sub(lambda found: _TEXT * len(found[0]), text)
    root = Parser(_LANGUAGE).parse(f"name = {read}\n".encode()).root_node
    bodies = [node for node in root.named_children if node.type != _COMMENT]
    if root.has_error or [body.type for body in bodies] != ["body"]:
        return False
    return [node.type for node in bodies[0].named_children if node.type != _COMMENT] == ["attribute"]

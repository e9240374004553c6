"""Whether a text is one expression of Terraform's language, so that writing it behind a name defines that name alone.

Without this look a value like ``1`` and, on a line of its own, ``other = 2`` would define another variable as well,
over whatever precedence says.
"""

from __future__ import annotations

import tree_sitter_hcl
from tree_sitter import Language, Parser

_LANGUAGE = Language(tree_sitter_hcl.language())
_COMMENT = "comment"


def is_expression(text: str) -> bool:
    """What is not understood is none."""
    root = Parser(_LANGUAGE).parse(f"name = {text}\n".encode()).root_node
    bodies = [node for node in root.named_children if node.type != _COMMENT]
    if root.has_error or [body.type for body in bodies] != ["body"]:
        return False
    return [node.type for node in bodies[0].named_children if node.type != _COMMENT] == ["attribute"]

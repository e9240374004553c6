"""Whether a text is one expression of Terraform's language, so that writing it behind a name defines that name alone,
and whether its value is known from the text: files of variables know neither functions nor names.

Without this look a value like ``1`` and, on a line of its own, ``other = 2`` would define another variable as well,
over whatever precedence says.
"""

from __future__ import annotations

import re

import tree_sitter_hcl
from tree_sitter import Language, Node, Parser, Query, QueryCursor

_LANGUAGE = Language(tree_sitter_hcl.language())
_COMMENT = "comment"
#: Two or more of them before a brace are text to Terraform (`"$$${x}"` is ``$${x}``), and the grammar reads three as
#: the begin of a template.  What is put instead is text in a string and an error elsewhere.
_ESCAPED = re.compile(r"(?:\$\$+|%%+)(?=\{)")
_TEXT = "@"


_WORDS = Query(
    _LANGUAGE,
    """
    (function_call (identifier) @call)
    (variable_expr (identifier) @name)
    (object_elem key: (expression . (variable_expr (identifier) @key) .))
    (for_intro (identifier) @bound)
    (template_for_start (identifier) @bound)
    """,
)


def is_expression(text: str) -> bool:
    """What is not understood is none."""
    root = _parsed(text)
    bodies = [node for node in root.named_children if node.type != _COMMENT]
    if root.has_error or [body.type for body in bodies] != ["body"]:
        return False
    return [node.type for node in bodies[0].named_children if node.type != _COMMENT] == ["attribute"]


def unknown_word(text: str) -> str | None:
    """What the expression *text* asks for that Terraform does not know where it reads values of variables: ``the
    function file``, ``the name region``.  None if there is nothing of the kind."""
    found = QueryCursor(_WORDS).captures(_parsed(text))
    for call in found.get("call", ()):
        return f"the function {_said(call)}"
    keys, bound = {key.id for key in found.get("key", ())}, {_said(one) for one in found.get("bound", ())}
    names = (_said(name) for name in found.get("name", ()) if name.id not in keys)
    return next((f"the name {name}" for name in names if name not in bound), None)


def _parsed(text: str) -> Node:
    read = _ESCAPED.sub(lambda found: _TEXT * len(found[0]), text)
    return Parser(_LANGUAGE).parse(f"name = {read}\n".encode()).root_node


def _said(node: Node) -> str:
    return (node.text or b"").decode()[:60]

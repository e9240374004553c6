"""Values of outputs as JSON text, exactly as the state has them.

Terraform's numbers have no bounds: they are never made into Python's or the database's, only passed on as their digits.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from app.errors import Invalid

#: Terraform's own values are a few levels deep; what is deeper was made to hurt.
DEEPEST = 256


def json_text(value: Any, depth: int = 0) -> str:
    """*value*, as the state's reader built it, in JSON.  Raises Invalid if it is nested without measure."""
    if depth > DEEPEST:
        raise too_deep()
    if isinstance(value, dict):
        members = (f"{json.dumps(key)}:{json_text(inner, depth + 1)}" for key, inner in value.items())
        return "{" + ",".join(members) + "}"
    if isinstance(value, list):
        return "[" + ",".join(json_text(inner, depth + 1) for inner in value) + "]"
    if isinstance(value, Decimal):
        return str(value)
    return json.dumps(value)


def too_deep() -> Invalid:
    return Invalid(f"An output of the state is nested more than {DEEPEST} levels deep.", field="state")

"""Asking for a text that is longer than its column finds nothing.

Tortoise checks a text's length also where it is only compared, so a name of 300 characters in a path would be a bug
instead of a 404.
"""

from __future__ import annotations

from typing import Any

from tortoise.fields import CharField


def install() -> None:
    """Let every model compare so.  What is stored is checked as before."""
    CharField.to_db_value = _to_db_value  # type: ignore[method-assign, assignment]


def _to_db_value(self: CharField, value: Any, instance: Any) -> Any:
    """Filters hand in the model's class, everything that stores an object of it or nothing."""
    if value is not None and not isinstance(value, self.field_type):
        value = self.field_type(value)
    if not isinstance(instance, type):
        self.validate(value)
    return value

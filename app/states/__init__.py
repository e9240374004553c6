"""State: what Terraform knows of the world, kept version by version."""

from app.states.actions import (
    PENDING,
    NewState,
    before_unlock,
    content,
    create,
    current,
    find,
    json_content,
    of,
    receive,
    receive_json,
    recover,
    visible,
)

__all__ = [
    "PENDING",
    "NewState",
    "before_unlock",
    "content",
    "create",
    "current",
    "find",
    "json_content",
    "of",
    "receive",
    "receive_json",
    "recover",
    "visible",
]

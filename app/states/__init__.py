"""State: what Terraform knows of the world, kept version by version."""

from app.states.actions import (
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
from app.states.arrival import PENDING, NewState
from app.states.deletion import permanently_delete, restore, soft_delete
from app.states.rollback import rollback

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
    "permanently_delete",
    "receive",
    "receive_json",
    "recover",
    "restore",
    "rollback",
    "soft_delete",
    "visible",
]

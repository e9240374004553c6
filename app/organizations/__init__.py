"""Organizations: the border nothing crosses."""

from app.organizations.actions import (
    add_owner,
    before_delete,
    create,
    delete,
    entitlements,
    find,
    require_living,
    show,
    update,
    visible,
)

__all__ = [
    "add_owner",
    "before_delete",
    "create",
    "delete",
    "entitlements",
    "find",
    "require_living",
    "show",
    "update",
    "visible",
]

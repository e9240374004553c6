"""Organizations: the border nothing crosses."""

from app.organizations.actions import add_owner, create, entitlements, find, show, update, visible

__all__ = ["add_owner", "create", "entitlements", "find", "show", "update", "visible"]

"""Workspaces: what runs of Terraform belong to."""

from app.workspaces.actions import create, delete, delete_all, safe_delete, update
from app.workspaces.locking import before_unlock, force_unlock, lock, unlock
from app.workspaces.visibility import find, find_by_name, visible

__all__ = [
    "before_unlock",
    "create",
    "delete",
    "delete_all",
    "find",
    "find_by_name",
    "force_unlock",
    "lock",
    "safe_delete",
    "unlock",
    "update",
    "visible",
]

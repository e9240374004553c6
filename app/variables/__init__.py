"""Variables: what a run is told."""

from app.variables.actions import create, delete, find, find_anywhere, of, update, update_all, visible
from app.variables.inheritance import effective, overview
from app.variables.values import Change, check_environment

__all__ = [
    "Change",
    "check_environment",
    "create",
    "delete",
    "effective",
    "find",
    "find_anywhere",
    "of",
    "overview",
    "update",
    "update_all",
    "visible",
]

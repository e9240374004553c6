"""Variables: what a run is told."""

from app.variables.actions import Change, create, delete, effective, find, of, update, update_all

__all__ = ["Change", "create", "delete", "effective", "find", "of", "update", "update_all"]

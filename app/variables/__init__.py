"""Variables: what a run is told."""

from app.variables.actions import create, delete, find, of, update, update_all
from app.variables.inheritance import effective, overview
from app.variables.values import Change

__all__ = ["Change", "create", "delete", "effective", "find", "of", "overview", "update", "update_all"]

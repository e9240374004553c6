"""Projects: workspaces that belong together."""

from app.projects.actions import create, default_of, delete, update, visible

__all__ = ["create", "default_of", "delete", "update", "visible"]

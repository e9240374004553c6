"""Versions of Terraform and OpenTofu that administrators have registered, and official releases."""

from app.tool_versions import index
from app.tool_versions.actions import Architecture, create, delete, find, update, usage, visible
from app.tool_versions.offer import Standing, offer, standing

__all__ = [
    "Architecture",
    "Standing",
    "create",
    "delete",
    "find",
    "index",
    "offer",
    "standing",
    "update",
    "usage",
    "visible",
]

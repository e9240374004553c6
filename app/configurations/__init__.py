"""Configuration versions: uploads of a workspace's Terraform files."""

from app.configurations.actions import (
    archive_of,
    create,
    find,
    is_usable,
    make_current,
    receive,
    stored_archive,
    uploaded,
    visible,
)

__all__ = [
    "archive_of",
    "create",
    "find",
    "is_usable",
    "make_current",
    "receive",
    "stored_archive",
    "uploaded",
    "visible",
]

"""Configuration versions: uploads of a workspace's Terraform files."""

from app.configurations.actions import (
    archive_of,
    create,
    find,
    make_current,
    receive,
    require_usable,
    stored_archive,
    uploaded,
    visible,
)
from app.configurations.archiving import before_archive, drop_archive
from app.configurations.ingress import Ingress, create_from

__all__ = [
    "Ingress",
    "archive_of",
    "before_archive",
    "create",
    "create_from",
    "drop_archive",
    "find",
    "make_current",
    "receive",
    "require_usable",
    "stored_archive",
    "uploaded",
    "visible",
]

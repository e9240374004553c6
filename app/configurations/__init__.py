"""Configuration versions: uploads of a workspace's Terraform files."""

from app.configurations.actions import (
    archive_of,
    before_upload,
    create,
    find,
    give_up_overdue,
    make_current,
    receive,
    require_usable,
    stored_archive,
    uploaded,
    visible,
)
from app.configurations.archiving import before_archive, drop_archive
from app.configurations.ingress import SOURCE, Ingress, create_from, ingress_of

__all__ = [
    "SOURCE",
    "Ingress",
    "archive_of",
    "before_archive",
    "before_upload",
    "create",
    "create_from",
    "drop_archive",
    "find",
    "give_up_overdue",
    "ingress_of",
    "make_current",
    "receive",
    "require_usable",
    "stored_archive",
    "uploaded",
    "visible",
]

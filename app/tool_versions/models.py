"""What workers can get besides what lies on them."""

from __future__ import annotations

from tortoise import fields

from app.storage.model import Model


class ToolVersion(Model):
    """A version of an engine: an official release, or a bundle that an administrator registered.

    An official one is known from the publisher's index and verified by the publisher's signature, so its `archs` name
    no address.  A bundle's say where it is and what its SHA-256 must be.
    """

    id = fields.CharField(max_length=32, primary_key=True)
    engine = fields.CharField(max_length=16, default="terraform")
    version = fields.CharField(max_length=64)
    archs: list[dict[str, str]] = fields.JSONField(default=list, description="os, arch, and for a bundle url and sha")
    official = fields.BooleanField(default=False)
    enabled = fields.BooleanField(default=True)
    beta = fields.BooleanField(default=False)
    deprecated = fields.BooleanField(default=False)
    deprecated_reason = fields.TextField(null=True)
    problem = fields.TextField(null=True, description="why a worker could not install it, in a sentence")
    created_at = fields.DatetimeField()

    class Meta:
        table = "tool_versions"  # one row an engine and version: a migration says so


class ReleaseIndex(Model):
    """When the official releases of an engine were last read, and where."""

    engine = fields.CharField(max_length=16, primary_key=True)
    url = fields.CharField(max_length=2048)
    read_at = fields.DatetimeField(null=True)
    problem = fields.TextField(null=True, description="why the last try failed, in a sentence")

    class Meta:
        table = "release_indexes"

"""A configuration version: one upload of a workspace's Terraform files."""

from __future__ import annotations

from tortoise import fields
from tortoise.indexes import Index

from app.storage.model import Model


class ConfigurationVersion(Model):
    """`pending` until its archive came, then `uploaded`, or `errored` and why; `archived` once its archive was dropped.

    Speculative ones serve plan-only runs; provisional ones become current when their run applies.
    """

    id = fields.CharField(max_length=32, primary_key=True)
    workspace_id: str
    archive_id: str | None
    workspace: fields.ForeignKeyRelation = fields.ForeignKeyField(
        "models.Workspace", related_name="configuration_versions"
    )
    status = fields.CharField(max_length=16, default="pending")
    source = fields.CharField(max_length=32, default="tfe-api")
    speculative = fields.BooleanField(default=False)
    provisional = fields.BooleanField(default=False)
    auto_queue_runs = fields.BooleanField(default=True)
    error = fields.CharField(max_length=64, null=True)
    error_message = fields.TextField(null=True)
    archive: fields.ForeignKeyNullableRelation = fields.ForeignKeyField(
        "models.StoredObject", related_name=False, null=True, on_delete=fields.OnDelete.RESTRICT
    )
    created_by_id = fields.CharField(max_length=32, null=True)
    created_at = fields.DatetimeField()
    uploaded_at = fields.DatetimeField(null=True)
    archived_at = fields.DatetimeField(null=True)

    class Meta:
        table = "configuration_versions"
        indexes = [Index(fields=("workspace_id", "created_at", "id"))]


class IngressAttributes(Model):
    """The commit a configuration version came from, as the repository's host told it.  Addresses are its pages'."""

    id = fields.CharField(max_length=32, primary_key=True)
    configuration_version_id: str
    configuration_version: fields.OneToOneRelation[ConfigurationVersion] = fields.OneToOneField(
        "models.ConfigurationVersion", related_name="ingress_attributes"
    )
    branch = fields.CharField(max_length=255, default="")
    clone_url = fields.CharField(max_length=512, default="")
    commit_message = fields.TextField(default="")
    commit_sha = fields.CharField(max_length=64)
    commit_url = fields.CharField(max_length=1024, default="")
    compare_url = fields.CharField(max_length=1024, default="")
    identifier = fields.CharField(max_length=255, description="owner/name")
    is_pull_request = fields.BooleanField(default=False)
    on_default_branch = fields.BooleanField(default=False)
    pull_request_number = fields.IntField(null=True)
    pull_request_url = fields.CharField(max_length=1024, null=True)
    pull_request_title = fields.TextField(null=True)
    pull_request_body = fields.TextField(null=True)
    base_sha = fields.CharField(max_length=64, null=True, description="where the pull request's base stood")
    tag = fields.CharField(max_length=255, null=True)
    sender_username = fields.CharField(max_length=128, default="")
    sender_avatar_url = fields.CharField(max_length=1024, default="")
    sender_html_url = fields.CharField(max_length=1024, default="")

    class Meta:
        table = "ingress_attributes"
        indexes = [Index(fields=("commit_sha",))]

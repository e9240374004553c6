"""A workspace: one configuration, its settings, its lock, and where its runs and states stand."""

from __future__ import annotations

from tortoise import fields
from tortoise.indexes import Index

from app.storage.model import Model


class Workspace(Model):
    """Settings are what a request may write; the rest is kept by the domain.

    `current_*` are plain columns, since the rows they name point back here.  A deleted workspace keeps its
    row and its state (`deleted_at`), and frees its name.
    """

    id = fields.CharField(max_length=32, primary_key=True)
    organization_id: str
    project_id: str
    organization: fields.ForeignKeyRelation = fields.ForeignKeyField("models.Organization", related_name="workspaces")
    project: fields.ForeignKeyRelation = fields.ForeignKeyField("models.Project", related_name="workspaces")
    name = fields.CharField(max_length=90)
    description = fields.TextField(null=True)
    execution_mode = fields.CharField(max_length=16, default="remote")
    engine = fields.CharField(max_length=16, default="terraform")
    terraform_version = fields.CharField(max_length=64)
    working_directory = fields.CharField(max_length=1024, default="")
    auto_apply = fields.BooleanField(default=False)
    auto_apply_run_trigger = fields.BooleanField(default=False)
    allow_destroy_plan = fields.BooleanField(default=True)
    queue_all_runs = fields.BooleanField(default=False)
    speculative_enabled = fields.BooleanField(default=True)
    file_triggers_enabled = fields.BooleanField(default=True)
    trigger_prefixes: list[str] = fields.JSONField(default=list)
    trigger_patterns: list[str] = fields.JSONField(default=list)
    global_remote_state = fields.BooleanField(default=True)
    structured_run_output_enabled = fields.BooleanField(default=True)
    source = fields.CharField(max_length=32, default="tfe-api")
    source_name = fields.CharField(max_length=255, null=True)
    source_url = fields.CharField(max_length=2048, null=True)

    locked_by_run_id = fields.CharField(max_length=32, null=True)
    locked_by_user_id = fields.CharField(max_length=32, null=True)
    locked_reason = fields.CharField(max_length=1024, null=True)
    locked_at = fields.DatetimeField(null=True)

    run_count = fields.IntField(default=0, description="numbers drawn for runs: the order of its queue")
    executes_from = fields.IntField(
        default=0,
        db_default=0,
        description="pending runs of lower numbers were put aside by force and are being discarded",
    )
    current_run_id = fields.CharField(max_length=32, null=True)
    latest_run_id = fields.CharField(max_length=32, null=True)
    current_configuration_version_id = fields.CharField(max_length=32, null=True)
    current_state_version_id = fields.CharField(max_length=32, null=True)
    resource_count = fields.IntField(default=0)

    created_at = fields.DatetimeField()
    updated_at = fields.DatetimeField()
    latest_change_at = fields.DatetimeField()
    deleted_at = fields.DatetimeField(null=True)

    runs: fields.ReverseRelation
    state_versions: fields.ReverseRelation
    tag_bindings: fields.ReverseRelation
    remote_state_consumers: fields.ReverseRelation

    class Meta:
        table = "workspaces"
        indexes = [
            Index(fields=("organization_id", "name")),
            Index(fields=("project_id", "name")),
        ]


class TagBinding(Model):
    """A tag of a workspace: a key, and a value unless it is a flat tag.  `tag-names` are the keys."""

    id = fields.CharField(max_length=32, primary_key=True)
    workspace_id: str
    workspace: fields.ForeignKeyRelation[Workspace] = fields.ForeignKeyField(
        "models.Workspace", related_name="tag_bindings"
    )
    key = fields.CharField(max_length=255)
    value = fields.CharField(max_length=256, default="")
    created_at = fields.DatetimeField()

    class Meta:
        table = "tag_bindings"
        indexes = [Index(fields=("key", "value"))]


class RemoteStateConsumer(Model):
    """A workspace that may read another's state where `global_remote_state` is off."""

    id = fields.IntField(primary_key=True)
    workspace: fields.ForeignKeyRelation[Workspace] = fields.ForeignKeyField(
        "models.Workspace", related_name="remote_state_consumers"
    )
    consumer: fields.ForeignKeyRelation[Workspace] = fields.ForeignKeyField(
        "models.Workspace", related_name="remote_state_sources"
    )

    class Meta:
        table = "remote_state_consumers"
        indexes = [Index(fields=("consumer_id",))]

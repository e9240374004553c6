"""An organization: the border nothing crosses."""

from __future__ import annotations

from tortoise import fields

from app.storage.model import Model


class Organization(Model):
    """Owns projects, workspaces and runs.  On the wire its name is its id; ours is `external-id`.

    A deleted one keeps its row and all it held; its name, which it frees, is then its former one.
    """

    id = fields.CharField(max_length=32, primary_key=True)
    name = fields.CharField(max_length=40, unique=True)
    email = fields.CharField(max_length=254, null=True)
    default_execution_mode = fields.CharField(max_length=16, default="remote")
    plan_timeout_seconds = fields.IntField(null=True, description="null: the site's setting")
    apply_timeout_seconds = fields.IntField(null=True, description="null: the site's setting")
    running_jobs_cap = fields.IntField(null=True, description="null: the site's setting")
    created_at = fields.DatetimeField()
    deleted_at = fields.DatetimeField(null=True)
    former_name = fields.CharField(max_length=40, null=True, description="what it was called before it was deleted")

    projects: fields.ReverseRelation

    class Meta:
        table = "organizations"

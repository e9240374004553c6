"""Variables of a workspace, their values encrypted."""

from __future__ import annotations

from tortoise import fields
from tortoise.models import Model


class Variable(Model):
    """`category` is `terraform` or `env`.  Every value is sealed; a sensitive one is never shown again."""

    id = fields.CharField(max_length=32, primary_key=True)
    workspace_id: str
    workspace: fields.ForeignKeyRelation = fields.ForeignKeyField("models.Workspace", related_name="variables")
    key = fields.CharField(max_length=128)
    sealed_value = fields.BinaryField()
    description = fields.CharField(max_length=512, default="")
    category = fields.CharField(max_length=16)
    hcl = fields.BooleanField(default=False)
    sensitive = fields.BooleanField(default=False)
    version_id = fields.CharField(max_length=64)
    created_at = fields.DatetimeField()
    updated_at = fields.DatetimeField()

    class Meta:
        table = "variables"

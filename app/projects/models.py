"""A project: workspaces that belong together."""

from __future__ import annotations

from tortoise import fields

from app.storage.model import Model


class Project(Model):
    """Every organization has a default one, which cannot be deleted."""

    id = fields.CharField(max_length=32, primary_key=True)
    organization_id: str
    organization: fields.ForeignKeyRelation = fields.ForeignKeyField("models.Organization", related_name="projects")
    name = fields.CharField(max_length=40)
    description = fields.CharField(max_length=256, default="")
    is_default = fields.BooleanField(default=False)
    created_at = fields.DatetimeField()

    workspaces: fields.ReverseRelation

    class Meta:
        table = "projects"

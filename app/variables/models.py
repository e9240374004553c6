"""Variables of workspaces and of variable sets, their values encrypted, and what the sets are applied to."""

from __future__ import annotations

from typing import Any

from tortoise import fields
from tortoise.indexes import Index

from app.storage.model import Model
from app.variables.precedence import Owner


class Kept(Model):
    """`category` is `terraform` or `env`.  Every value is sealed; a sensitive one is never shown again."""

    id = fields.CharField(max_length=32, primary_key=True)
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
        abstract = True

    @property
    def sealed_context(self) -> tuple[str, ...]:
        return "variable", self.id

    @property
    def holder(self) -> dict[str, Any]:
        """What it belongs to, as a filter: keys are there once in that."""
        raise NotImplementedError


class Variable(Kept):
    """A workspace's own."""

    workspace_id: str
    workspace: fields.ForeignKeyRelation = fields.ForeignKeyField("models.Workspace", related_name="variables")

    class Meta:
        table = "variables"

    @property
    def holder(self) -> dict[str, Any]:
        return {"workspace_id": self.workspace_id}


class VariableSet(Model):
    """Variables for many workspaces.  It belongs to the organization, or to one `project` of it, whose
    workspaces alone it reaches then.  A global one reaches every workspace, whatever it is applied to."""

    id = fields.CharField(max_length=32, primary_key=True)
    organization_id: str
    project_id: str | None
    organization: fields.ForeignKeyRelation = fields.ForeignKeyField(
        "models.Organization", related_name="variable_sets"
    )
    project: fields.ForeignKeyNullableRelation = fields.ForeignKeyField(
        "models.Project", related_name="owned_variable_sets", null=True
    )
    name = fields.CharField(max_length=90)
    description = fields.CharField(max_length=512, default="")
    is_global = fields.BooleanField(default=False)
    priority = fields.BooleanField(default=False)
    created_at = fields.DatetimeField()
    updated_at = fields.DatetimeField()

    class Meta:
        table = "variable_sets"
        indexes = [Index(fields=("organization_id", "name", "id")), Index(fields=("project_id",))]

    @property
    def owner(self) -> Owner:
        return Owner.ORGANIZATION if self.project_id is None else Owner.PROJECT


class SetVariable(Kept):
    """A variable of a set."""

    variable_set_id: str
    variable_set: fields.ForeignKeyRelation[VariableSet] = fields.ForeignKeyField(
        "models.VariableSet", related_name="variables"
    )

    class Meta:
        table = "variable_set_variables"

    @property
    def holder(self) -> dict[str, Any]:
        return {"variable_set_id": self.variable_set_id}


class VariableSetProject(Model):
    """A project that a set is applied to: all of its workspaces."""

    id = fields.IntField(primary_key=True)
    variable_set_id: str
    project_id: str
    variable_set: fields.ForeignKeyRelation[VariableSet] = fields.ForeignKeyField(
        "models.VariableSet", related_name="project_assignments"
    )
    project: fields.ForeignKeyRelation = fields.ForeignKeyField("models.Project", related_name="variable_sets")

    class Meta:
        table = "variable_set_projects"
        indexes = [Index(fields=("project_id",))]


class VariableSetWorkspace(Model):
    """A workspace that a set is applied to."""

    id = fields.IntField(primary_key=True)
    variable_set_id: str
    workspace_id: str
    variable_set: fields.ForeignKeyRelation[VariableSet] = fields.ForeignKeyField(
        "models.VariableSet", related_name="workspace_assignments"
    )
    workspace: fields.ForeignKeyRelation = fields.ForeignKeyField("models.Workspace", related_name="variable_sets")

    class Meta:
        table = "variable_set_workspaces"
        indexes = [Index(fields=("workspace_id",))]

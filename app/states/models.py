"""State versions of a workspace and the outputs read from them."""

from __future__ import annotations

from tortoise import fields
from tortoise.indexes import Index

from app.storage.model import Model


class StateVersion(Model):
    """One state: `pending` until its bytes are stored, `finalized` then, `discarded` if they never came.

    `intermediate` ones are snapshots taken under a lock; they join the chain only by becoming current.
    `chain_hash` covers what this version is, its content's digest, and its predecessor's chain hash.
    """

    id = fields.CharField(max_length=32, primary_key=True)
    workspace: fields.ForeignKeyRelation = fields.ForeignKeyField("models.Workspace", related_name="state_versions")
    workspace_id: str
    content_id: str | None
    json_content_id: str | None
    status = fields.CharField(max_length=16, default="pending")
    serial = fields.BigIntField()
    lineage = fields.CharField(max_length=255, default="")
    md5 = fields.CharField(max_length=32)
    sha256 = fields.CharField(max_length=64, null=True, description="of the content; stays when the content has gone")
    size = fields.BigIntField(default=0)
    intermediate = fields.BooleanField(default=False)
    forced = fields.BooleanField(default=False)
    content: fields.ForeignKeyNullableRelation = fields.ForeignKeyField(
        "models.StoredObject", related_name=False, null=True, on_delete=fields.OnDelete.RESTRICT
    )
    json_content: fields.ForeignKeyNullableRelation = fields.ForeignKeyField(
        "models.StoredObject", related_name=False, null=True, on_delete=fields.OnDelete.RESTRICT
    )
    run_id = fields.CharField(max_length=32, null=True)
    created_by_id = fields.CharField(max_length=32, null=True)
    previous_id = fields.CharField(max_length=32, null=True)
    rollback_of_id = fields.CharField(max_length=32, null=True)
    chain_hash = fields.CharField(max_length=64, null=True)
    terraform_version = fields.CharField(max_length=64, null=True)
    state_format = fields.IntField(null=True)
    resources_processed = fields.BooleanField(default=False)
    resources: list[dict[str, object]] | None = fields.JSONField(null=True)
    modules: dict[str, object] | None = fields.JSONField(null=True)
    providers: dict[str, object] | None = fields.JSONField(null=True)
    created_at = fields.DatetimeField()
    finalized_at = fields.DatetimeField(null=True)
    soft_deleted_at = fields.DatetimeField(null=True, description="content is kept and not given")
    permanently_deleted_at = fields.DatetimeField(null=True, description="content has gone")

    class Meta:
        table = "state_versions"
        indexes = [
            Index(fields=("workspace_id", "created_at", "id")),
            Index(fields=("workspace_id", "status", "serial")),
            Index(fields=("run_id",)),
        ]

    @property
    def condition(self) -> str:
        """Its status as the API tells it, in which what a person did to the content goes first."""
        if self.permanently_deleted_at is not None:
            return "backing_data_permanently_deleted"
        if self.soft_deleted_at is not None:
            return "backing_data_soft_deleted"
        return str(self.status)


class StateVersionOutput(Model):
    """One output of a state version, its value sealed."""

    id = fields.CharField(max_length=32, primary_key=True)
    state_version: fields.ForeignKeyRelation[StateVersion] = fields.ForeignKeyField(
        "models.StateVersion", related_name="outputs"
    )
    state_version_id: str
    name = fields.CharField(max_length=255)
    sensitive = fields.BooleanField(default=False)
    type = fields.CharField(max_length=32, default="string")
    detailed_type = fields.TextField(
        description="Terraform's type, as JSON: Tortoise takes a JSON string for JSON text"
    )
    sealed_value = fields.BinaryField()

    class Meta:
        table = "state_version_outputs"
        indexes = [Index(fields=("state_version_id", "name"))]

    @property
    def sealed_context(self) -> tuple[str, ...]:
        return "output", self.id

"""A run, its plan and its apply, what happened to it, and the pieces of its logs."""

from __future__ import annotations

from typing import Any

from tortoise import fields
from tortoise.indexes import Index

from app.storage.model import Model


class Run(Model):
    """What people see.  Only `moves.move` changes `status` and `status_timestamps`.

    `number` is drawn under the workspace's row lock and orders its queue; time orders nothing.
    """

    id = fields.CharField(max_length=32, primary_key=True)
    workspace: fields.ForeignKeyRelation = fields.ForeignKeyField("models.Workspace", related_name="runs")
    organization: fields.ForeignKeyRelation = fields.ForeignKeyField("models.Organization", related_name="runs")
    configuration_version: fields.ForeignKeyRelation = fields.ForeignKeyField(
        "models.ConfigurationVersion", related_name="runs"
    )
    workspace_id: str
    organization_id: str
    configuration_version_id: str
    number = fields.IntField()
    status = fields.CharField(max_length=32)
    status_timestamps: dict[str, str] = fields.JSONField(default=dict)

    message = fields.TextField()
    source = fields.CharField(max_length=32, default="tfe-api")
    trigger_reason = fields.CharField(max_length=32, default="manual")
    engine = fields.CharField(max_length=16, default="terraform")
    terraform_version = fields.CharField(max_length=64)
    plan_only = fields.BooleanField(default=False)
    save_plan = fields.BooleanField(default=False)
    is_destroy = fields.BooleanField(default=False)
    refresh = fields.BooleanField(default=True)
    refresh_only = fields.BooleanField(default=False)
    auto_apply = fields.BooleanField(default=False, description="settled at creation: may it apply by itself")
    has_variables = fields.BooleanField(default=False, description="was it given variables of its own")
    stages = fields.CharField(
        max_length=96, default="", db_default="", description="settled at creation: the stages besides plan and apply"
    )
    may_apply = fields.BooleanField(default=False, description="could its creator confirm it")
    allow_empty_apply = fields.BooleanField(default=False)
    allow_config_generation = fields.BooleanField(default=False)
    debugging_mode = fields.BooleanField(default=False)
    target_addrs: list[str] | None = fields.JSONField(null=True)
    replace_addrs: list[str] | None = fields.JSONField(null=True)

    has_changes = fields.BooleanField(default=False)
    generated_configuration = fields.BooleanField(
        default=False, db_default=False, description="did its plan write configuration, so that it cannot be applied"
    )
    failure = fields.TextField(null=True, description="why it ended errored, in a sentence")
    is_timed_out = fields.BooleanField(
        default=False, db_default=False, description="did a phase of it end by its time limit"
    )
    input_state_version_id = fields.CharField(max_length=32, null=True)
    may_be_outdated = True  # no column: where a run is read alone, `outdated.MAY_BE` is asked with it
    created_by_id = fields.CharField(max_length=32, null=True)
    triggering_run_id = fields.CharField(max_length=32, null=True, description="whose apply a run trigger followed")
    triggering_source_id = fields.CharField(max_length=32, null=True, description="that run's workspace")
    is_restricted = fields.BooleanField(
        default=False, db_default=False, description="a stranger's code: no secrets, no network, no other state"
    )
    restricted_by_id = fields.CharField(max_length=32, null=True, description="who let it be planned")
    confirmed_by_id = fields.CharField(max_length=32, null=True)
    canceled_by_id = fields.CharField(max_length=32, null=True)
    cancel_requested_at = fields.DatetimeField(null=True)
    force_cancel_available_at = fields.DatetimeField(null=True)
    force_canceled_at = fields.DatetimeField(null=True)
    event_count = fields.IntField(default=0, description="numbers drawn for its events")
    created_at = fields.DatetimeField()

    class Meta:
        table = "runs"
        indexes = [
            Index(fields=("workspace_id", "plan_only", "number")),
            Index(fields=("workspace_id", "status", "number")),
            Index(fields=("workspace_id", "status", "plan_only", "save_plan", "number")),
            Index(fields=("status", "workspace_id")),
            Index(fields=("organization_id", "status", "created_at", "id")),
            Index(fields=("organization_id", "created_at", "id")),
            Index(fields=("configuration_version_id",)),
        ]


class RunTrigger(Model):
    """Each apply in `sourceable` queues a run in `workspace`."""

    id = fields.CharField(max_length=32, primary_key=True)
    workspace_id: str
    sourceable_id: str
    workspace: fields.ForeignKeyRelation = fields.ForeignKeyField(
        "models.Workspace", related_name="inbound_run_triggers"
    )
    sourceable: fields.ForeignKeyRelation = fields.ForeignKeyField(
        "models.Workspace", related_name="outbound_run_triggers"
    )
    created_at = fields.DatetimeField()

    class Meta:
        table = "run_triggers"
        indexes = [Index(fields=("sourceable_id", "created_at"))]


class RunSnapshot(Model):
    """What was fixed when the run was created: its variables, sealed, in a row of their own so that reading
    a run stays cheap."""

    run: fields.OneToOneRelation[Run] = fields.OneToOneField("models.Run", related_name="snapshot", primary_key=True)
    sealed_variables = fields.BinaryField(description="JSON list of variables.precedence.Value, sealed")
    fingerprint = fields.CharField(max_length=64, description="keyed digest of the variables")

    class Meta:
        table = "run_snapshots"

    @property
    def sealed_context(self) -> tuple[str, ...]:
        return "run-variables", str(self.pk)


class Phase(Model):
    """What plan and apply have in common: a log and figures.  The id is the run's with another prefix."""

    id = fields.CharField(max_length=32, primary_key=True)
    log_length = fields.BigIntField(default=0, description="bytes sealed in segments, frame bytes included")
    log_preface = fields.IntField(
        default=0, db_default=0, description="bytes of its beginning that were written while it waited for a worker"
    )
    log_closed_at = fields.DatetimeField(null=True, description="when 0x03 was written: the phase is terminal")
    log_ended = fields.BooleanField(default=False, description="whether 0x03 is sealed too")
    masked_count = fields.IntField(default=0)
    resource_additions = fields.IntField(null=True)
    resource_changes = fields.IntField(null=True)
    resource_destructions = fields.IntField(null=True)
    resource_imports = fields.IntField(null=True)
    worker_name = fields.CharField(max_length=128, null=True)

    class Meta:
        abstract = True


class Plan(Phase):
    """`binding` names what the plan rests on; an apply refuses when one of them moved."""

    run: fields.OneToOneRelation[Run] = fields.OneToOneField("models.Run", related_name="plan")
    binding: dict[str, Any] | None = fields.JSONField(null=True)
    plan_file: fields.ForeignKeyNullableRelation = fields.ForeignKeyField(
        "models.StoredObject", related_name=False, null=True, on_delete=fields.OnDelete.RESTRICT
    )
    carried_files: fields.ForeignKeyNullableRelation = fields.ForeignKeyField(
        "models.StoredObject", related_name=False, null=True, on_delete=fields.OnDelete.RESTRICT
    )
    json_output: fields.ForeignKeyNullableRelation = fields.ForeignKeyField(
        "models.StoredObject", related_name=False, null=True, on_delete=fields.OnDelete.RESTRICT
    )
    json_output_redacted: fields.ForeignKeyNullableRelation = fields.ForeignKeyField(
        "models.StoredObject", related_name=False, null=True, on_delete=fields.OnDelete.RESTRICT
    )
    json_schema: fields.ForeignKeyNullableRelation = fields.ForeignKeyField(
        "models.StoredObject", related_name=False, null=True, on_delete=fields.OnDelete.RESTRICT
    )

    class Meta:
        table = "plans"
        indexes = [Index(fields=("log_ended", "log_closed_at"))]


class Apply(Phase):
    """`errored_state` is a state the run left that could not become a state version."""

    run: fields.OneToOneRelation[Run] = fields.OneToOneField("models.Run", related_name="apply")
    errored_state: fields.ForeignKeyNullableRelation = fields.ForeignKeyField(
        "models.StoredObject", related_name=False, null=True, on_delete=fields.OnDelete.RESTRICT
    )

    class Meta:
        table = "applies"
        indexes = [Index(fields=("log_ended", "log_closed_at"))]


class LogSegment(Model):
    """A sealed piece of a phase's log: `length` bytes from `start`, frame bytes counted."""

    id = fields.BigIntField(primary_key=True)
    phase_id = fields.CharField(max_length=32, description="plan-… or apply-…")
    start = fields.BigIntField()
    length = fields.BigIntField()
    content: fields.ForeignKeyRelation = fields.ForeignKeyField(
        "models.StoredObject", related_name=False, on_delete=fields.OnDelete.RESTRICT
    )

    class Meta:
        table = "log_segments"


class RunEvent(Model):
    """A move or another thing that happened; the outbox of announcements as well (`announced_at`)."""

    id = fields.CharField(max_length=32, primary_key=True)
    run: fields.ForeignKeyRelation[Run] = fields.ForeignKeyField("models.Run", related_name="events")
    number = fields.IntField(description="order within the run")
    action = fields.CharField(max_length=64, description="the verb of the move, or what else happened")
    status = fields.CharField(max_length=32)
    description = fields.TextField(default="")
    actor_id = fields.CharField(max_length=32, null=True, description="a user's id; null for the system")
    comment_id = fields.CharField(max_length=32, null=True)
    created_at = fields.DatetimeField()
    announced_at = fields.DatetimeField(null=True)

    class Meta:
        table = "run_events"


class Comment(Model):
    """What a person wrote on a run."""

    id = fields.CharField(max_length=32, primary_key=True)
    run: fields.ForeignKeyRelation[Run] = fields.ForeignKeyField("models.Run", related_name="comments")
    body = fields.TextField()
    created_by_id = fields.CharField(max_length=32)
    created_at = fields.DatetimeField()

    class Meta:
        table = "comments"
        indexes = [Index(fields=("run_id", "created_at"))]

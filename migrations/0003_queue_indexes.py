"""Every question the queue asks goes to an index, however many runs wait."""

from tortoise import migrations
from tortoise.indexes import Index
from tortoise.migrations import operations as ops
from tortoise.migrations.operations import RunSQL

from app.storage.constraints import index

_WAITING = "closed_at IS NULL AND worker_id IS NULL"
#: As Tortoise writes it: SQLite takes a partial index only for a condition in the same words.
_HELD = "closed_at IS NULL AND NOT worker_id IS NULL"


class Migration(migrations.Migration):
    dependencies = [("models", "0002_rules")]

    initial = False

    operations = [
        ops.AddIndex(model_name="Apply", index=Index(fields=["log_ended", "log_closed_at"])),
        ops.AddIndex(model_name="Plan", index=Index(fields=["log_ended", "log_closed_at"])),
        ops.AddIndex(
            model_name="Run", index=Index(fields=["workspace_id", "status", "plan_only", "save_plan", "number"])
        ),
        ops.AddIndex(model_name="Run", index=Index(fields=["status", "workspace_id"])),
        # SQLite would rather take it than the partial ones, and read all that waits.
        ops.RemoveIndex(model_name="Job", fields=["closed_at", "worker_id", "priority", "number"]),
        RunSQL(
            'DROP INDEX "jobs_waiting"',
            f'CREATE INDEX "jobs_waiting" ON "jobs" (priority, organization_id, number) WHERE {_WAITING}',
        ),
        index(
            "jobs_waiting_by_tool",
            "jobs",
            *("organization_id", "priority", "engine", "terraform_version", "number"),
            where=_WAITING,
        ),
        index("jobs_waiting_by_number", "jobs", "organization_id", "priority", "number", where=_WAITING),
        index("jobs_held", "jobs", "organization_id", "number", where=_HELD),
    ]

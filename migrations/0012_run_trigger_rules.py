"""A run trigger is there once, and each apply queues one run in a workspace."""

from tortoise import migrations

from app.storage.constraints import unique


class Migration(migrations.Migration):
    dependencies = [("models", "0011_run_triggers")]

    operations = [
        unique("one_run_trigger", "run_triggers", "workspace_id", "sourceable_id"),
        unique(
            "one_triggered_run", "runs", "triggering_run_id", "workspace_id", where="triggering_run_id IS NOT NULL"
        ),
    ]

"""Whether a plan wrote configuration decides what becomes of its run, so the run says it."""

from tortoise import fields, migrations
from tortoise.migrations import operations as ops

from app.storage.constraints import drop_column


class Migration(migrations.Migration):
    dependencies = [("models", "0017_force_execution")]

    initial = False

    operations = [
        ops.AddField(
            model_name="Run",
            name="generated_configuration",
            field=fields.BooleanField(
                default=False,
                description="did its plan write configuration, so that it cannot be applied",
                db_default=False,
            ),
        ),
        ops.RunSQL(
            "UPDATE runs SET generated_configuration = TRUE"
            " WHERE id IN (SELECT run_id FROM plans WHERE generated_configuration)",
            "",
        ),
        drop_column(model_name="Plan", name="generated_configuration"),
    ]

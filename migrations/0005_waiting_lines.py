"""What waits for a worker says so in its log, once."""

from tortoise import migrations
from tortoise.migrations import operations as ops
from tortoise import fields

from app.storage.constraints import index


class Migration(migrations.Migration):
    dependencies = [("models", "0003_queue_indexes"), ("models", "0004_variable_set_rules")]

    initial = False

    operations = [
        ops.AddField(
            model_name="Apply",
            name="log_preface",
            field=fields.IntField(
                default=0,
                description="bytes of its beginning that were written while it waited for a worker",
                db_default=0,
            ),
        ),
        ops.AddField(
            model_name="Job",
            name="told",
            field=fields.BooleanField(default=False, description="its log says what it waits for", db_default=False),
        ),
        ops.AddField(
            model_name="Plan",
            name="log_preface",
            field=fields.IntField(
                default=0,
                description="bytes of its beginning that were written while it waited for a worker",
                db_default=0,
            ),
        ),
        index("jobs_untold", "jobs", "number", where="closed_at IS NULL AND worker_id IS NULL AND NOT told"),
    ]

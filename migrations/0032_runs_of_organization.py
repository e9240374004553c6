"""The newest runs of an organization are found by an index."""

from tortoise import migrations
from tortoise.indexes import Index
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    dependencies = [("models", "0031_fork_commit_rules")]

    initial = False

    operations = [
        ops.AddIndex(model_name="Run", index=Index(fields=["organization_id", "created_at", "id"])),
    ]

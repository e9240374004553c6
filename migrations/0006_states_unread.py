"""What waits to be read by a worker, found without looking at the rest; and the hashes of states that are there."""

from tortoise import migrations
from tortoise.migrations.operations import RunSQL

from app.storage.constraints import index


class Migration(migrations.Migration):
    dependencies = [("models", "0005_states_and_keys")]

    operations = [
        index(
            "states_unread",
            "state_versions",
            "created_at",
            where="status = 'finalized' AND NOT resources_processed AND NOT intermediate",
        ),
        RunSQL(
            "UPDATE state_versions SET sha256 = "
            "(SELECT o.sha256 FROM stored_objects o WHERE o.id = state_versions.content_id)",
            "UPDATE state_versions SET sha256 = NULL",
        ),
    ]

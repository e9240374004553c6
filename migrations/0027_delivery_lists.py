"""The newest deliveries, all or of one state, are found without reading the rest."""

from tortoise import migrations

from app.storage.constraints import index


class Migration(migrations.Migration):
    dependencies = [("models", "0026_installation_details")]

    operations = [
        index("github_deliveries_newest", "github_deliveries", "received_at", "id"),
        index("github_deliveries_by_state", "github_deliveries", "state", "received_at", "id"),
    ]

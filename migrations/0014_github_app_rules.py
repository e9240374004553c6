"""An app is registered once, and a delivery is stored once; what waits in the inbox is found without reading the rest."""

from tortoise import migrations

from app.storage.constraints import index, unique


class Migration(migrations.Migration):
    dependencies = [("models", "0013_github_apps")]

    operations = [
        unique("one_github_app", "github_apps", "web_url", "app_id"),
        unique("one_github_delivery", "github_deliveries", "app_id", "guid"),
        index("github_deliveries_waiting", "github_deliveries", "received_at", "id", where="state = 'received'"),
    ]

"""What GitHub could not deliver is noted once."""

from tortoise import migrations

from app.storage.constraints import unique


class Migration(migrations.Migration):
    dependencies = [("models", "0023_lost_deliveries")]

    operations = [unique("one_lost_delivery", "github_lost_deliveries", "app_id", "guid")]

"""A version of an engine is there once."""

from tortoise import migrations

from app.storage.constraints import unique


class Migration(migrations.Migration):
    dependencies = [("models", "0008_tool_versions")]

    operations = [unique("one_tool_version", "tool_versions", "engine", "version")]

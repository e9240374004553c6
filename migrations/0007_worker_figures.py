from tortoise import migrations
from tortoise.migrations import operations as ops
from tortoise import fields

class Migration(migrations.Migration):
    dependencies = [('models', '0005_waiting_lines'), ('models', '0006_states_unread')]

    initial = False

    operations = [
        ops.AddField(
            model_name='Worker',
            name='figures',
            field=fields.TextField(null=True, description="what it measured, in Prometheus' text format", unique=False),
        ),
    ]

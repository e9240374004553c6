from tortoise import migrations
from tortoise.migrations import operations as ops
from tortoise import fields

class Migration(migrations.Migration):
    dependencies = [('models', '0009_tool_version_rules')]

    initial = False

    operations = [
        ops.AddField(
            model_name='Run',
            name='stages',
            field=fields.CharField(default='', description='settled at creation: the stages besides plan and apply', db_default='', max_length=96),
        ),
    ]

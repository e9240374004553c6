from tortoise import migrations
from tortoise.migrations import operations as ops
from tortoise import fields

class Migration(migrations.Migration):
    dependencies = [('models', '0016_archived_configurations')]

    initial = False

    operations = [
        ops.AddField(
            model_name='Workspace',
            name='executes_from',
            field=fields.IntField(default=0, description='pending runs of lower numbers were put aside by force and are being discarded', db_default=0),
        ),
    ]

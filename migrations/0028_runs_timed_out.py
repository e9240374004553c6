from tortoise import migrations
from tortoise.migrations import operations as ops
from tortoise import fields

class Migration(migrations.Migration):
    dependencies = [('models', '0027_delivery_lists')]

    initial = False

    operations = [
        ops.AddField(
            model_name='Run',
            name='is_timed_out',
            field=fields.BooleanField(default=False, description='did a phase of it end by its time limit', db_default=False),
        ),
    ]

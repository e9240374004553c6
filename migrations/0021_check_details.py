from tortoise import migrations
from tortoise.migrations import operations as ops
from tortoise import fields

class Migration(migrations.Migration):
    dependencies = [('models', '0020_repository_rules')]

    initial = False

    operations = [
        ops.CreateModel(
            name='Pace',
            fields=[
                ('installation_id', fields.CharField(primary_key=True, unique=True, db_index=True, max_length=32)),
                ('held_until', fields.DatetimeField(null=True, description='when another worker may take over', auto_now=False, auto_now_add=False)),
                ('next_at', fields.DatetimeField(description='nothing is written before', auto_now=False, auto_now_add=False)),
                ('failures', fields.IntField(default=0, description='in a row')),
            ],
            options={'table': 'github_paces', 'app': 'models', 'pk_attr': 'installation_id', 'table_description': 'How fast an installation may be written to, and who is at it: one call at a time, from whichever worker.'},
            bases=['Model'],
        ),
        ops.AddField(
            model_name='Check',
            name='is_settled',
            field=fields.BooleanField(default=False, description='of an aggregate: no more workspaces will come to it', db_default=False),
        ),
        ops.AddField(
            model_name='Check',
            name='is_shown',
            field=fields.BooleanField(default=True, description='false for one too many on its commit: it counts in the aggregate', db_default=True),
        ),
        ops.AddField(
            model_name='Check',
            name='is_status',
            field=fields.BooleanField(default=False, description='told as a commit status, since checks may not be written', db_default=False),
        ),
    ]

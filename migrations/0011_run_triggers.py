from tortoise import migrations
from tortoise.migrations import operations as ops
from tortoise.fields.base import OnDelete
from tortoise import fields
from tortoise.indexes import Index

class Migration(migrations.Migration):
    dependencies = [('models', '0010_stages_of_runs')]

    initial = False

    operations = [
        ops.CreateModel(
            name='RunTrigger',
            fields=[
                ('id', fields.CharField(primary_key=True, unique=True, db_index=True, max_length=32)),
                ('workspace', fields.ForeignKeyField('models.Workspace', source_field='workspace_id', db_constraint=True, to_field='id', related_name='inbound_run_triggers', on_delete=OnDelete.CASCADE)),
                ('sourceable', fields.ForeignKeyField('models.Workspace', source_field='sourceable_id', db_constraint=True, to_field='id', related_name='outbound_run_triggers', on_delete=OnDelete.CASCADE)),
                ('created_at', fields.DatetimeField(auto_now=False, auto_now_add=False)),
            ],
            options={'table': 'run_triggers', 'app': 'models', 'indexes': [Index(fields=['sourceable_id', 'created_at'])], 'pk_attr': 'id', 'table_description': 'Each apply in `sourceable` queues a run in `workspace`.'},
            bases=['Model'],
        ),
        ops.AddField(
            model_name='Run',
            name='triggering_run_id',
            field=fields.CharField(null=True, description='whose apply a run trigger followed', max_length=32),
        ),
        ops.AddField(
            model_name='Run',
            name='triggering_source_id',
            field=fields.CharField(null=True, description="that run's workspace", max_length=32),
        ),
    ]

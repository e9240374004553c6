from tortoise import migrations
from tortoise.migrations import operations as ops
from orjson import loads
from tortoise.fields.base import OnDelete
from tortoise.fields.data import JSON_DUMPS
from tortoise import fields
from tortoise.indexes import Index

class Migration(migrations.Migration):
    dependencies = [('models', '0012_run_trigger_rules')]

    initial = False

    operations = [
        ops.CreateModel(
            name='GitHubApp',
            fields=[
                ('id', fields.CharField(primary_key=True, unique=True, db_index=True, max_length=32)),
                ('web_url', fields.CharField(description='https://github.com, without a slash at the end', max_length=255)),
                ('api_url', fields.CharField(description='https://api.github.com, likewise', max_length=255)),
                ('app_id', fields.BigIntField()),
                ('client_id', fields.CharField(default='', max_length=64)),
                ('slug', fields.CharField(default='', max_length=128)),
                ('name', fields.CharField(default='', max_length=128)),
                ('sealed_private_key', fields.BinaryField()),
                ('sealed_client_secret', fields.BinaryField(null=True)),
                ('sealed_webhook_secret', fields.BinaryField()),
                ('sealed_old_webhook_secret', fields.BinaryField(null=True)),
                ('permissions', fields.JSONField(default=dict, encoder=JSON_DUMPS, decoder=loads)),
                ('events', fields.JSONField(default=list, encoder=JSON_DUMPS, decoder=loads)),
                ('created_by_id', fields.CharField(null=True, max_length=32)),
                ('created_at', fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ('heard_at', fields.DatetimeField(null=True, description='when the first good delivery came', auto_now=False, auto_now_add=False)),
            ],
            options={'table': 'github_apps', 'app': 'models', 'pk_attr': 'id', 'table_description': 'An app of ours on one GitHub.  App ids, installation ids and repository ids count per host, so an app is'},
            bases=['Model'],
        ),
        ops.CreateModel(
            name='Delivery',
            fields=[
                ('id', fields.CharField(primary_key=True, unique=True, db_index=True, max_length=32)),
                ('app', fields.ForeignKeyField('models.GitHubApp', source_field='app_id', db_constraint=True, to_field='id', related_name='deliveries', on_delete=OnDelete.CASCADE)),
                ('guid', fields.CharField(max_length=64)),
                ('event', fields.CharField(max_length=64)),
                ('action', fields.CharField(null=True, max_length=64)),
                ('installation_id', fields.BigIntField(null=True, description="GitHub's number")),
                ('repository_id', fields.BigIntField(null=True, description="GitHub's number")),
                ('state', fields.CharField(description='received, done, ignored or failed', max_length=16)),
                ('reason', fields.TextField(null=True, description='what was done with it, or why nothing was', unique=False)),
                ('tries', fields.IntField(default=0)),
                ('received_at', fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ('ended_at', fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
            ],
            options={'table': 'github_deliveries', 'app': 'models', 'indexes': [Index(fields=['app_id', 'received_at', 'id'])], 'pk_attr': 'id', 'table_description': "One message of GitHub's, stored before it was answered.  A redelivery has the same `guid`."},
            bases=['Model'],
        ),
        ops.CreateModel(
            name='DeliveryBody',
            fields=[
                ('delivery', fields.OneToOneField('models.Delivery', source_field='delivery_id', primary_key=True, db_index=True, db_constraint=True, to_field='id', related_name='body', on_delete=OnDelete.CASCADE)),
                ('sealed_body', fields.BinaryField()),
            ],
            options={'table': 'github_delivery_bodies', 'app': 'models', 'pk_attr': 'delivery_id', 'table_description': 'The bytes as they came, packed and sealed: beside the delivery, so that a list reads none of them.'},
            bases=['Model'],
        ),
    ]

from tortoise import migrations
from tortoise.migrations import operations as ops
from orjson import loads
from tortoise.fields.data import JSON_DUMPS
from tortoise import fields

class Migration(migrations.Migration):
    dependencies = [('models', '0007_worker_figures')]

    initial = False

    operations = [
        ops.CreateModel(
            name='ReleaseIndex',
            fields=[
                ('engine', fields.CharField(primary_key=True, unique=True, db_index=True, max_length=16)),
                ('url', fields.CharField(max_length=2048)),
                ('read_at', fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ('problem', fields.TextField(null=True, description='why the last try failed, in a sentence', unique=False)),
            ],
            options={'table': 'release_indexes', 'app': 'models', 'pk_attr': 'engine', 'table_description': 'When the official releases of an engine were last read, and where.'},
            bases=['Model'],
        ),
        ops.CreateModel(
            name='ToolVersion',
            fields=[
                ('id', fields.CharField(primary_key=True, unique=True, db_index=True, max_length=32)),
                ('engine', fields.CharField(default='terraform', max_length=16)),
                ('version', fields.CharField(max_length=64)),
                ('archs', fields.JSONField(default=list, description='os, arch, and for a bundle url and sha', encoder=JSON_DUMPS, decoder=loads)),
                ('official', fields.BooleanField(default=False)),
                ('enabled', fields.BooleanField(default=True)),
                ('beta', fields.BooleanField(default=False)),
                ('deprecated', fields.BooleanField(default=False)),
                ('deprecated_reason', fields.TextField(null=True, unique=False)),
                ('problem', fields.TextField(null=True, description='why a worker could not install it, in a sentence', unique=False)),
                ('created_at', fields.DatetimeField(auto_now=False, auto_now_add=False)),
            ],
            options={'table': 'tool_versions', 'app': 'models', 'pk_attr': 'id', 'table_description': 'A version of an engine: an official release, or a bundle that an administrator registered.'},
            bases=['Model'],
        ),
        ops.AddField(
            model_name='Worker',
            name='downloads',
            field=fields.BooleanField(default=False, description='it may download official releases', db_default=False),
        ),
        ops.AddField(
            model_name='Worker',
            name='takes',
            field=fields.JSONField(null=True, description='pairs it takes jobs for: those, and what it can get', encoder=JSON_DUMPS, decoder=loads),
        ),
    ]

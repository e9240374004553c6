from tortoise import migrations
from tortoise.migrations import operations as ops
from tortoise import fields

class Migration(migrations.Migration):
    dependencies = [('models', '0004_variable_set_rules')]

    initial = False

    operations = [
        ops.CreateModel(
            name='LastingKey',
            fields=[
                ('purpose', fields.CharField(primary_key=True, unique=True, db_index=True, max_length=16)),
                ('sealed_key', fields.BinaryField()),
            ],
            options={'table': 'lasting_keys', 'app': 'models', 'pk_attr': 'purpose', 'table_description': "A key that outlives the ring's: what was digested with it cannot be digested anew.  Sealed by the ring."},
            bases=['Model'],
        ),
        ops.AddField(
            model_name='KeyInUse',
            name='retired_at',
            field=fields.DatetimeField(null=True, description='when another key became active', auto_now=False, auto_now_add=False),
        ),
        ops.AddField(
            model_name='StateVersion',
            name='permanently_deleted_at',
            field=fields.DatetimeField(null=True, description='content has gone', auto_now=False, auto_now_add=False),
        ),
        ops.AddField(
            model_name='StateVersion',
            name='sha256',
            field=fields.CharField(null=True, description='of the content; stays when the content has gone', max_length=64),
        ),
        ops.AddField(
            model_name='StateVersion',
            name='soft_deleted_at',
            field=fields.DatetimeField(null=True, description='content is kept and not given', auto_now=False, auto_now_add=False),
        ),
    ]

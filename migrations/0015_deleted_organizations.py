from tortoise import migrations
from tortoise.migrations import operations as ops
from tortoise import fields

class Migration(migrations.Migration):
    dependencies = [('models', '0014_github_app_rules')]

    initial = False

    operations = [
        ops.AddField(
            model_name='Organization',
            name='deleted_at',
            field=fields.DatetimeField(null=True, auto_now=False, auto_now_add=False),
        ),
        ops.AddField(
            model_name='Organization',
            name='former_name',
            field=fields.CharField(null=True, description='what it was called before it was deleted', max_length=40),
        ),
    ]

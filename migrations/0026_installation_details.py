from tortoise import migrations
from tortoise.migrations import operations as ops
from tortoise import fields

from app.storage.constraints import unique

class Migration(migrations.Migration):
    dependencies = [('models', '0025_repository_looks')]

    initial = False

    operations = [
        ops.AddField(
            model_name='GitHubApp',
            name='refreshed_at',
            field=fields.DatetimeField(null=True, description='when its installations were last looked at', auto_now=False, auto_now_add=False),
        ),
        ops.AddField(
            model_name='Installation',
            name='revision',
            field=fields.IntField(default=0, description='raised by each change', db_default=0),
        ),
        ops.AddField(
            model_name='InstallationLink',
            name='everyone',
            field=fields.BooleanField(null=True, description='whether all who may change its workspaces connect any repository; null: while no other is linked'),
        ),
        unique("one_user_of_a_github_account", "github_linked_accounts", "app_id", "number"),
    ]

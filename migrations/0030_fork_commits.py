from tortoise import migrations
from tortoise.migrations import operations as ops
from tortoise.fields.base import OnDelete
from tortoise import fields
from tortoise.indexes import Index

class Migration(migrations.Migration):
    dependencies = [('models', '0029_github_authorizations')]

    initial = False

    operations = [
        ops.CreateModel(
            name='ForkCommit',
            fields=[
                ('id', fields.CharField(primary_key=True, unique=True, db_index=True, max_length=32)),
                ('workspace', fields.ForeignKeyField('models.Workspace', source_field='workspace_id', db_constraint=True, to_field='id', related_name=False, on_delete=OnDelete.CASCADE)),
                ('repository', fields.ForeignKeyField('models.Repository', source_field='repository_id', db_constraint=True, to_field='id', related_name=False, on_delete=OnDelete.CASCADE)),
                ('pull_request_number', fields.IntField()),
                ('sha', fields.CharField(max_length=64)),
                ('title', fields.CharField(description="the pull request's", max_length=255)),
                ('author_login', fields.CharField(description='"" once the account is gone', max_length=128)),
                ('fork_name', fields.CharField(description='owner/name of the fork; "" once it is gone', max_length=255)),
                ('state', fields.CharField(description='waiting, approved or gone', max_length=16)),
                ('created_at', fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ('decided_at', fields.DatetimeField(null=True, description='when it was approved, or gone', auto_now=False, auto_now_add=False)),
                ('approved_by_id', fields.CharField(null=True, max_length=32)),
                ('next_at', fields.DatetimeField(null=True, description='when a worker is to plan it; null when nothing is owed', auto_now=False, auto_now_add=False)),
            ],
            options={'table': 'vcs_fork_commits', 'app': 'models', 'indexes': [Index(fields=['workspace_id', 'created_at', 'id']), Index(fields=['repository_id'])], 'pk_attr': 'id', 'table_description': "A commit of a stranger's pull request, in a workspace that plans it only once somebody has approved it."},
            bases=['Model'],
        ),
    ]

from tortoise import migrations
from tortoise.migrations import operations as ops
from orjson import loads
from tortoise.fields.base import OnDelete
from tortoise.fields.data import JSON_DUMPS
from tortoise import fields

class Migration(migrations.Migration):
    dependencies = [('models', '0024_lost_delivery_rules')]

    initial = False

    operations = [
        ops.CreateModel(
            name='RepositoryLook',
            fields=[
                ('repository', fields.OneToOneField('models.Repository', source_field='repository_id', primary_key=True, db_index=True, db_constraint=True, to_field='id', related_name=False, on_delete=OnDelete.CASCADE)),
                ('settings', fields.CharField(default='', description='a digest of what its workspaces follow', max_length=64)),
                ('pulls', fields.JSONField(default=dict, description='of each open pull request: its head, its base, how often planning it failed', encoder=JSON_DUMPS, decoder=loads)),
                ('followers', fields.JSONField(default=dict, description="tags regexes by the workspaces' ids", encoder=JSON_DUMPS, decoder=loads)),
                ('tags', fields.JSONField(default=list, description="names and commits, in GitHub's order", encoder=JSON_DUMPS, decoder=loads)),
                ('tags_cut', fields.BooleanField(default=False, description='whether there were more tags than are read')),
            ],
            options={'table': 'github_repository_looks', 'app': 'models', 'pk_attr': 'repository_id', 'table_description': "What the last look at a repository's refs has seen, so that the next one asks about what is new alone."},
            bases=['Model'],
        ),
    ]

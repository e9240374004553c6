from tortoise import migrations
from tortoise.migrations import operations as ops
from tortoise import fields

class Migration(migrations.Migration):
    dependencies = [('models', '0028_runs_timed_out')]

    initial = False

    operations = [
        ops.CreateModel(
            name='GitHubAuthorization',
            fields=[
                ('state_digest', fields.CharField(primary_key=True, unique=True, db_index=True, max_length=64)),
                ('session_id', fields.CharField(max_length=32)),
                ('app_id', fields.CharField(description='our id of the GitHub App', max_length=32)),
                ('installation_number', fields.BigIntField(null=True)),
                ('organization_id', fields.CharField(null=True, description='which is to use the installation', max_length=32)),
                ('created_at', fields.DatetimeField(auto_now=False, auto_now_add=False)),
            ],
            options={'table': 'github_authorizations', 'app': 'models', 'pk_attr': 'state_digest', 'table_description': 'That somebody went to sign in at GitHub, and did not come back yet; what for, if it is for an installation.'},
            bases=['Model'],
        ),
    ]

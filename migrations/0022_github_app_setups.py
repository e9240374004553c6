from tortoise import migrations
from tortoise.migrations import operations as ops
from tortoise import fields

class Migration(migrations.Migration):
    dependencies = [('models', '0021_check_details')]

    initial = False

    operations = [
        ops.CreateModel(
            name='GitHubAppSetup',
            fields=[
                ('id', fields.CharField(primary_key=True, unique=True, db_index=True, max_length=32)),
                ('state_digest', fields.CharField(unique=True, max_length=64)),
                ('session_id', fields.CharField(max_length=32)),
                ('web_url', fields.CharField(max_length=255)),
                ('owner', fields.CharField(description='the organization it is made for; empty for a person', max_length=128)),
                ('created_at', fields.DatetimeField(auto_now=False, auto_now_add=False)),
            ],
            options={'table': 'github_app_setups', 'app': 'models', 'pk_attr': 'id', 'table_description': "An app that somebody went to make at GitHub, and did not come back with yet.  `id` will be the app's."},
            bases=['Model'],
        ),
        ops.AddField(
            model_name='GitHubApp',
            name='html_url',
            field=fields.CharField(default='', description='its page at GitHub', db_default='', max_length=255),
        ),
        ops.AddField(
            model_name='GitHubApp',
            name='is_secret_told',
            field=fields.BooleanField(default=True, description='false while GitHub has not heard the webhook secret we made', db_default=True),
        ),
        ops.AddField(
            model_name='GitHubApp',
            name='owner',
            field=fields.CharField(default='', description="the organization it belongs to; empty for a person's", db_default='', max_length=128),
        ),
    ]

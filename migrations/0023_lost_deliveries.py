from tortoise import migrations
from tortoise.migrations import operations as ops
from tortoise.fields.base import OnDelete
from tortoise import fields

class Migration(migrations.Migration):
    dependencies = [('models', '0022_github_app_setups')]

    initial = False

    operations = [
        ops.CreateModel(
            name='DeliveryLook',
            fields=[
                ('app', fields.OneToOneField('models.GitHubApp', source_field='app_id', primary_key=True, db_index=True, db_constraint=True, to_field='id', related_name='look', on_delete=OnDelete.CASCADE)),
                ('held_until', fields.DatetimeField(null=True, description='when another worker may take over', auto_now=False, auto_now_add=False)),
                ('next_at', fields.DatetimeField(description='nothing is asked before', auto_now=False, auto_now_add=False)),
                ('failures', fields.IntField(default=0, description='in a row')),
                ('seen_at', fields.DatetimeField(null=True, description='attempts made before are known', auto_now=False, auto_now_add=False)),
                ('cursor', fields.CharField(null=True, description='where an unfinished look goes on', max_length=255)),
                ('reading_from', fields.DatetimeField(null=True, description='the newest attempt that the unfinished look has seen', auto_now=False, auto_now_add=False)),
                ('unreached_at', fields.DatetimeField(null=True, description='since when deliveries are fetched, as none arrives', auto_now=False, auto_now_add=False)),
                ('trouble', fields.CharField(null=True, description='what GitHub said of an attempt then', max_length=255)),
            ],
            options={'table': 'github_delivery_looks', 'app': 'models', 'pk_attr': 'app_id', 'table_description': "How far GitHub's log of an app's deliveries was read, and who is at it: one worker at a time."},
            bases=['Model'],
        ),
        ops.CreateModel(
            name='LostDelivery',
            fields=[
                ('id', fields.IntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ('app', fields.ForeignKeyField('models.GitHubApp', source_field='app_id', db_constraint=True, to_field='id', related_name='lost', on_delete=OnDelete.CASCADE)),
                ('guid', fields.CharField(max_length=64)),
                ('event', fields.CharField(max_length=64)),
                ('number', fields.BigIntField(description='of the attempt that GitHub is asked to repeat')),
                ('delivered_at', fields.DatetimeField(description='when that attempt was made', auto_now=False, auto_now_add=False)),
                ('status', fields.CharField(description='what GitHub says of it', max_length=255)),
                ('tries', fields.IntField(default=0, description='how often it was asked for')),
                ('next_at', fields.DatetimeField(auto_now=False, auto_now_add=False)),
            ],
            options={'table': 'github_lost_deliveries', 'app': 'models', 'pk_attr': 'id', 'table_description': 'A delivery that GitHub could not bring, until it is here or nobody keeps it any more.'},
            bases=['Model'],
        ),
    ]

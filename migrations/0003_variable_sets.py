from tortoise import migrations
from tortoise.migrations import operations as ops
from tortoise.fields.base import OnDelete
from tortoise import fields
from tortoise.indexes import Index

class Migration(migrations.Migration):
    dependencies = [('models', '0002_rules')]

    initial = False

    operations = [
        ops.CreateModel(
            name='VariableSet',
            fields=[
                ('id', fields.CharField(primary_key=True, unique=True, db_index=True, max_length=32)),
                ('organization', fields.ForeignKeyField('models.Organization', source_field='organization_id', db_constraint=True, to_field='id', related_name='variable_sets', on_delete=OnDelete.CASCADE)),
                ('project', fields.ForeignKeyField('models.Project', source_field='project_id', null=True, db_constraint=True, to_field='id', related_name='owned_variable_sets', on_delete=OnDelete.CASCADE)),
                ('name', fields.CharField(max_length=90)),
                ('description', fields.CharField(default='', max_length=512)),
                ('is_global', fields.BooleanField(default=False)),
                ('priority', fields.BooleanField(default=False)),
                ('created_at', fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ('updated_at', fields.DatetimeField(auto_now=False, auto_now_add=False)),
            ],
            options={'table': 'variable_sets', 'app': 'models', 'indexes': [Index(fields=['organization_id', 'name', 'id']), Index(fields=['project_id'])], 'pk_attr': 'id', 'table_description': 'Variables for many workspaces.  It belongs to the organization, or to one `project` of it, whose'},
            bases=['Model'],
        ),
        ops.CreateModel(
            name='SetVariable',
            fields=[
                ('id', fields.CharField(primary_key=True, unique=True, db_index=True, max_length=32)),
                ('key', fields.CharField(max_length=128)),
                ('sealed_value', fields.BinaryField()),
                ('description', fields.CharField(default='', max_length=512)),
                ('category', fields.CharField(max_length=16)),
                ('hcl', fields.BooleanField(default=False)),
                ('sensitive', fields.BooleanField(default=False)),
                ('version_id', fields.CharField(max_length=64)),
                ('created_at', fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ('updated_at', fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ('variable_set', fields.ForeignKeyField('models.VariableSet', source_field='variable_set_id', db_constraint=True, to_field='id', related_name='variables', on_delete=OnDelete.CASCADE)),
            ],
            options={'table': 'variable_set_variables', 'app': 'models', 'pk_attr': 'id', 'table_description': 'A variable of a set.'},
            bases=['Kept'],
        ),
        ops.CreateModel(
            name='VariableSetProject',
            fields=[
                ('id', fields.IntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ('variable_set', fields.ForeignKeyField('models.VariableSet', source_field='variable_set_id', db_constraint=True, to_field='id', related_name='project_assignments', on_delete=OnDelete.CASCADE)),
                ('project', fields.ForeignKeyField('models.Project', source_field='project_id', db_constraint=True, to_field='id', related_name='variable_sets', on_delete=OnDelete.CASCADE)),
            ],
            options={'table': 'variable_set_projects', 'app': 'models', 'indexes': [Index(fields=['project_id'])], 'pk_attr': 'id', 'table_description': 'A project that a set is applied to: all of its workspaces.'},
            bases=['Model'],
        ),
        ops.CreateModel(
            name='VariableSetWorkspace',
            fields=[
                ('id', fields.IntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ('variable_set', fields.ForeignKeyField('models.VariableSet', source_field='variable_set_id', db_constraint=True, to_field='id', related_name='workspace_assignments', on_delete=OnDelete.CASCADE)),
                ('workspace', fields.ForeignKeyField('models.Workspace', source_field='workspace_id', db_constraint=True, to_field='id', related_name='variable_sets', on_delete=OnDelete.CASCADE)),
            ],
            options={'table': 'variable_set_workspaces', 'app': 'models', 'indexes': [Index(fields=['workspace_id'])], 'pk_attr': 'id', 'table_description': 'A workspace that a set is applied to.'},
            bases=['Model'],
        ),
    ]

"""What is unique about variable sets, their variables and what they are applied to."""

from tortoise import migrations

from app.storage.constraints import check, unique


class Migration(migrations.Migration):
    dependencies = [("models", "0003_variable_sets")]

    operations = [
        unique("variable_set_name", "variable_sets", "organization_id", "name", where="project_id IS NULL"),
        unique("variable_set_name_in_project", "variable_sets", "project_id", "name", where="project_id IS NOT NULL"),
        check("global_set_of_organization", "variable_sets", "NOT ({is_global} AND {project_id} IS NOT NULL)"),
        unique("set_variable_key", "variable_set_variables", "variable_set_id", "category", "key"),
        unique("one_project_of_set", "variable_set_projects", "variable_set_id", "project_id"),
        unique("one_workspace_of_set", "variable_set_workspaces", "variable_set_id", "workspace_id"),
    ]

"""What the models cannot say: what is unique, and what may never be true at once."""

from tortoise import migrations

from app.storage.constraints import check, index, unique


class Migration(migrations.Migration):
    dependencies = [("models", "0001_initial")]

    operations = [
        unique("one_membership", "memberships", "user_id", "organization_id"),
        unique("project_name", "projects", "organization_id", "name"),
        unique("one_default_project", "projects", "organization_id", where="is_default"),
        unique("workspace_name", "workspaces", "organization_id", "name", where="deleted_at IS NULL"),
        check("one_lock", "workspaces", "{locked_by_run_id} IS NULL OR {locked_by_user_id} IS NULL"),
        unique("one_binding_of_a_key", "tag_bindings", "workspace_id", "key"),
        unique("one_consumer", "remote_state_consumers", "workspace_id", "consumer_id"),
        unique("variable_key", "variables", "workspace_id", "category", "key"),
        unique("run_number", "runs", "workspace_id", "number"),
        unique("run_event_number", "run_events", "run_id", "number"),
        index("run_events_unannounced", "run_events", "created_at", where="announced_at IS NULL"),
        unique("log_segment_start", "log_segments", "phase_id", "start"),
        unique("one_open_job", "jobs", "run_id", "phase", where="closed_at IS NULL"),
        index(
            "jobs_waiting",
            "jobs",
            "priority",
            "organization_id",
            "number",
            where="closed_at IS NULL AND worker_id IS NULL",
        ),
        unique("one_line", "lines", "organization_id", "priority"),
        unique("one_successor", "state_versions", "previous_id", where="previous_id IS NOT NULL"),
        check("serial_not_negative", "state_versions", "{serial} >= 0"),
    ]

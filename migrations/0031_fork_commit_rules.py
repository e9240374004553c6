"""Of a pull request one commit waits in a workspace, and what a worker is to plan is found without the rest."""

from tortoise import migrations

from app.storage.constraints import check, index, unique


class Migration(migrations.Migration):
    dependencies = [("models", "0030_fork_commits")]

    operations = [
        unique(
            "one_waiting_fork_commit",
            "vcs_fork_commits",
            "workspace_id",
            "repository_id",
            "pull_request_number",
            where="state = 'waiting'",
        ),
        check("known_fork_commit_state", "vcs_fork_commits", "{state} IN ('waiting', 'approved', 'gone')"),
        index("fork_commits_to_plan", "vcs_fork_commits", "next_at", "id", where="next_at IS NOT NULL"),
    ]

"""What is on GitHub once is here once; a commit has one check of a name, and what is owed is found without the rest."""

from tortoise import migrations

from app.storage.constraints import check, index, unique


class Migration(migrations.Migration):
    dependencies = [("models", "0019_repositories")]

    operations = [
        unique("one_github_installation", "github_installations", "app_id", "number"),
        unique("one_installation_link", "github_installation_links", "installation_id", "organization_id"),
        unique("one_github_repository", "github_repositories", "app_id", "number"),
        unique("one_vcs_head", "vcs_heads", "workspace_id", "repository_id", "kind", "ref"),
        check("known_head_kind", "vcs_heads", "{kind} IN ('branch', 'tag', 'pull', 'group')"),
        check("known_fork_policy", "vcs_connections", "{fork_policy} IN ('deny', 'approve', 'allow')"),
        unique("one_commit_archive", "vcs_commit_archives", "organization_id", "repository_id", "sha", "submodules"),
        unique("one_ingress_of_a_configuration", "ingress_attributes", "configuration_version_id"),
        unique("one_github_check", "github_checks", "repository_id", "head_sha", "name", "attempt"),
        index("github_checks_owed", "github_checks", "next_at", "id", where="next_at IS NOT NULL"),
        unique("one_fork_approval", "github_fork_approvals", "workspace_id", "pull_request_number", "sha"),
        unique("one_linked_account", "github_linked_accounts", "app_id", "user_id"),
    ]

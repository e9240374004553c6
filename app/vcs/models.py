"""What is kept of repositories: where they are on GitHub, which workspace follows which, and what came of each commit.

Numbers of GitHub's (`number`, `account_number`) count per host, so everything of GitHub's is known by the app of ours
that sees it and that number; names are a cache for display.  Source: `github-app.md` §1.4, §1.5 and §3.4 of the
protocol notes.
"""

from __future__ import annotations

from tortoise import fields
from tortoise.indexes import Index

from app.storage.model import Model


class Installation(Model):
    """Where an account of GitHub's lets our app in.  Once deleted there it stays here for what it explains."""

    repositories: fields.ReverseRelation[Repository]
    links: fields.ReverseRelation[InstallationLink]
    id = fields.CharField(max_length=32, primary_key=True)
    app_id = fields.CharField(max_length=32, description="our id of the GitHub App")
    number = fields.BigIntField()
    account_number = fields.BigIntField()
    account_login = fields.CharField(max_length=128)
    account_type = fields.CharField(max_length=16, description="User or Organization")
    account_url = fields.CharField(max_length=255, default="")
    icon_url = fields.CharField(max_length=255, default="")
    html_url = fields.CharField(max_length=255, default="", description="its settings page at GitHub")
    repository_selection = fields.CharField(max_length=16, default="selected", description="all or selected")
    permissions: dict[str, str] = fields.JSONField(default=dict, description="as its owner granted them")
    events: list[str] = fields.JSONField(default=list)
    created_at = fields.DatetimeField()
    suspended_at = fields.DatetimeField(null=True)
    deleted_at = fields.DatetimeField(null=True)
    revision = fields.IntField(default=0, db_default=0, description="raised by each change")

    class Meta:
        table = "github_installations"

    @property
    def trouble(self) -> str | None:
        """Why nothing can be asked of GitHub through it, as a sentence."""
        if self.deleted_at:
            gone = f"The app was uninstalled from {self.account_login}."
            return f"{gone} Install it again, and link that installation to the organization."
        if self.suspended_at:
            return f"The app's installation in {self.account_login} is suspended. Its owner can lift that at GitHub."
        return None


class InstallationLink(Model):
    """That an organization of ours may use an installation; made only with proof, or by a site admin."""

    id = fields.IntField(primary_key=True)
    installation_id: str
    organization_id: str
    installation: fields.ForeignKeyRelation[Installation] = fields.ForeignKeyField(
        "models.Installation", related_name="links"
    )
    organization: fields.ForeignKeyRelation = fields.ForeignKeyField("models.Organization", related_name=False)
    linked_by_id = fields.CharField(max_length=32, null=True)
    everyone = fields.BooleanField(
        null=True,
        description="whether all who may change its workspaces connect any repository; null: while no other is linked",
    )
    created_at = fields.DatetimeField()

    class Meta:
        table = "github_installation_links"
        indexes = [Index(fields=("organization_id",))]


class Repository(Model):
    """A repository that our app sees.  `lost` says in a sentence why nothing comes from it any more."""

    id = fields.CharField(max_length=32, primary_key=True)
    app_id = fields.CharField(max_length=32, description="our id of the GitHub App")
    number = fields.BigIntField()
    installation_id: str
    installation: fields.ForeignKeyRelation[Installation] = fields.ForeignKeyField(
        "models.Installation", related_name="repositories"
    )
    full_name = fields.CharField(max_length=255, description="owner/name, as GitHub spells it now")
    default_branch = fields.CharField(max_length=255, default="main")
    private = fields.BooleanField(default=True)
    html_url = fields.CharField(max_length=512, default="")
    clone_url = fields.CharField(max_length=512, default="")
    lost: str | None = fields.TextField(null=True)
    created_at = fields.DatetimeField()
    reconciled_at = fields.DatetimeField(null=True, description="when its heads were last compared with ours")

    class Meta:
        table = "github_repositories"
        indexes = [Index(fields=("installation_id",))]


class Connection(Model):
    """The repository a workspace follows: its `vcs-repo`.  What it follows of it are settings of the workspace's."""

    workspace_id: str
    repository_id: str
    workspace: fields.OneToOneRelation = fields.OneToOneField(
        "models.Workspace", related_name="connection", primary_key=True
    )
    repository: fields.ForeignKeyRelation[Repository] = fields.ForeignKeyField(
        "models.Repository", related_name="connections", on_delete=fields.OnDelete.RESTRICT
    )
    branch = fields.CharField(max_length=255, default="", description='"" follows the default branch')
    ingress_submodules = fields.BooleanField(default=False)
    tags_regex = fields.CharField(max_length=512, default="", description="if set, tags are followed and no branch")
    fork_policy = fields.CharField(max_length=16, default="approve", description="deny, approve or allow")
    connected_by_id = fields.CharField(max_length=32, null=True)
    created_at = fields.DatetimeField()

    class Meta:
        table = "vcs_connections"
        indexes = [Index(fields=("repository_id",))]

    @property
    def followed_branch(self) -> str:
        """Its repository has to be loaded."""
        return self.branch or self.repository.default_branch


class Head(Model):
    """The commit that a workspace handled last for one ref: a delivery that finds it there has nothing to do.

    Written in the transaction that makes the run, and for a workspace that was not concerned too.  `attempt` counts
    how often the same commit was handled, reopened for instance.
    """

    id = fields.BigIntField(primary_key=True)
    workspace_id: str
    workspace: fields.ForeignKeyRelation = fields.ForeignKeyField("models.Workspace", related_name=False)
    repository: fields.ForeignKeyRelation[Repository] = fields.ForeignKeyField(
        "models.Repository", related_name=False, on_delete=fields.OnDelete.CASCADE
    )
    repository_id: str
    kind = fields.CharField(max_length=16, description="branch, tag, pull or group")
    ref = fields.CharField(max_length=255, description="the branch, the tag, the pull request's number")
    sha = fields.CharField(max_length=64)
    base_sha = fields.CharField(max_length=64, null=True, description="where a pull request's base stood")
    attempt = fields.IntField(default=1)
    run_id = fields.CharField(max_length=32, null=True, description="what came of it; null if nothing")
    reason = fields.TextField(description="why a run was made, or why none was")
    decided_at = fields.DatetimeField()
    closed_at = fields.DatetimeField(null=True, description="when its pull request was closed")

    class Meta:
        table = "vcs_heads"
        indexes = [Index(fields=("repository_id", "kind", "ref")), Index(fields=("run_id",))]


class ForkCommit(Model):
    """A commit of a stranger's pull request, in a workspace that plans it only once somebody has approved it.

    One that waited before a newer commit came, or when the pull request was closed, is gone; one that comes back waits
    as another row.  What an approval lets be planned is kept where GitHub's answers are.
    """

    id = fields.CharField(max_length=32, primary_key=True)
    workspace_id: str
    repository_id: str
    workspace: fields.ForeignKeyRelation = fields.ForeignKeyField("models.Workspace", related_name=False)
    repository: fields.ForeignKeyRelation[Repository] = fields.ForeignKeyField(
        "models.Repository", related_name=False, on_delete=fields.OnDelete.CASCADE
    )
    pull_request_number = fields.IntField()
    sha = fields.CharField(max_length=64)
    title = fields.CharField(max_length=255, description="the pull request's")
    author_login = fields.CharField(max_length=128, description='"" once the account is gone')
    fork_name = fields.CharField(max_length=255, description='owner/name of the fork; "" once it is gone')
    state = fields.CharField(max_length=16, description="waiting, approved or gone")
    created_at = fields.DatetimeField()
    decided_at = fields.DatetimeField(null=True, description="when it was approved, or gone")
    approved_by_id = fields.CharField(max_length=32, null=True)
    next_at = fields.DatetimeField(null=True, description="when a worker is to plan it; null when nothing is owed")

    class Meta:
        table = "vcs_fork_commits"
        indexes = [Index(fields=("workspace_id", "created_at", "id")), Index(fields=("repository_id",))]

    @property
    def pull_request_url(self) -> str:
        """At GitHub.  Its repository has to be loaded, as for `url`."""
        return f"{self.repository.html_url}/pull/{self.pull_request_number}"

    @property
    def url(self) -> str:
        """What the commit changes, at GitHub."""
        return f"{self.pull_request_url}/commits/{self.sha}"


class CommitArchive(Model):
    """A commit's files, fetched once for all workspaces of an organization that want them."""

    id = fields.IntField(primary_key=True)
    repository_id: str
    archive_id: str
    repository: fields.ForeignKeyRelation[Repository] = fields.ForeignKeyField("models.Repository", related_name=False)
    organization_id = fields.CharField(max_length=32)
    sha = fields.CharField(max_length=64)
    submodules = fields.BooleanField(default=False)
    archive: fields.ForeignKeyRelation = fields.ForeignKeyField(
        "models.StoredObject", related_name=False, on_delete=fields.OnDelete.RESTRICT
    )
    fetched_at = fields.DatetimeField()

    class Meta:
        table = "vcs_commit_archives"


class VcsEvent(Model):
    """What a workspace made of a push, a tag or a pull request, for people who ask why nothing happened."""

    id = fields.CharField(max_length=32, primary_key=True)
    workspace_id: str
    workspace: fields.ForeignKeyRelation = fields.ForeignKeyField("models.Workspace", related_name=False)
    delivery_id = fields.CharField(max_length=32, null=True)
    kind = fields.CharField(max_length=16, description="branch, tag, pull or group")
    ref = fields.CharField(max_length=255)
    sha = fields.CharField(max_length=64)
    outcome = fields.CharField(max_length=16, description="run, skipped, waiting or failed")
    reason = fields.TextField()
    run_id = fields.CharField(max_length=32, null=True)
    created_at = fields.DatetimeField()

    class Meta:
        table = "vcs_events"
        indexes = [Index(fields=("workspace_id", "created_at", "id"))]

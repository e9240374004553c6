"""What is kept of GitHub: the app we are there, and what GitHub told us."""

from __future__ import annotations

from typing import Any

from tortoise import fields
from tortoise.indexes import Index

from app.storage.model import Model


class GitHubApp(Model):
    """An app of ours on one GitHub.  App ids, installation ids and repository ids count per host, so an app is
    known by its host and number together; `id` is ours, and stands in the address its deliveries come to.

    Secrets are sealed.  While the webhook secret is changed two are good: the new one, and the old one until the
    change is finished.
    """

    id = fields.CharField(max_length=32, primary_key=True)
    web_url = fields.CharField(max_length=255, description="https://github.com, without a slash at the end")
    api_url = fields.CharField(max_length=255, description="https://api.github.com, likewise")
    app_id = fields.BigIntField()
    client_id = fields.CharField(max_length=64, default="")
    slug = fields.CharField(max_length=128, default="")
    name = fields.CharField(max_length=128, default="")
    owner = fields.CharField(
        max_length=128, default="", db_default="", description="the organization it belongs to; empty for a person's"
    )
    html_url = fields.CharField(max_length=255, default="", db_default="", description="its page at GitHub")
    sealed_private_key = fields.BinaryField()
    sealed_client_secret = fields.BinaryField(null=True)
    sealed_webhook_secret = fields.BinaryField()
    sealed_old_webhook_secret = fields.BinaryField(null=True)
    is_secret_told = fields.BooleanField(
        default=True, db_default=True, description="false while GitHub has not heard the webhook secret we made"
    )
    permissions: dict[str, str] = fields.JSONField(default=dict)
    events: list[str] = fields.JSONField(default=list)
    created_by_id = fields.CharField(max_length=32, null=True)
    created_at = fields.DatetimeField()
    heard_at = fields.DatetimeField(null=True, description="when the first good delivery came")
    refreshed_at = fields.DatetimeField(null=True, description="when its installations were last looked at")

    class Meta:
        table = "github_apps"

    @property
    def sealed_context(self) -> tuple[str, ...]:
        return "github app", self.id


class GitHubAppSetup(Model):
    """An app that somebody went to make at GitHub, and did not come back with yet.  `id` will be the app's."""

    id = fields.CharField(max_length=32, primary_key=True)
    state_digest = fields.CharField(max_length=64, unique=True)
    session_id = fields.CharField(max_length=32)
    web_url = fields.CharField(max_length=255)
    owner = fields.CharField(max_length=128, description="the organization it is made for; empty for a person")
    created_at = fields.DatetimeField()

    class Meta:
        table = "github_app_setups"


class GitHubAuthorization(Model):
    """That somebody went to sign in at GitHub, and did not come back yet; what for, if it is for an installation."""

    state_digest = fields.CharField(max_length=64, primary_key=True)
    session_id = fields.CharField(max_length=32)
    app_id = fields.CharField(max_length=32, description="our id of the GitHub App")
    installation_number = fields.BigIntField(null=True)
    organization_id = fields.CharField(max_length=32, null=True, description="which is to use the installation")
    created_at = fields.DatetimeField()

    class Meta:
        table = "github_authorizations"


class Delivery(Model):
    """One message of GitHub's, stored before it was answered.  A redelivery has the same `guid`.

    `tries` is raised by each attempt to process it, and whoever writes how one
    ended says which it was.
    """

    id = fields.CharField(max_length=32, primary_key=True)
    app: fields.ForeignKeyRelation[GitHubApp] = fields.ForeignKeyField("models.GitHubApp", related_name="deliveries")
    app_id: str
    guid = fields.CharField(max_length=64)
    event = fields.CharField(max_length=64)
    action = fields.CharField(max_length=64, null=True)
    installation_id = fields.BigIntField(null=True, description="GitHub's number")
    repository_id = fields.BigIntField(null=True, description="GitHub's number")
    state = fields.CharField(max_length=16, description="received, done, ignored or failed")
    reason = fields.TextField(null=True, description="what was done with it, or why nothing was")
    tries = fields.IntField(default=0)
    received_at = fields.DatetimeField()
    ended_at = fields.DatetimeField(null=True)
    next_at = fields.DatetimeField(null=True, description="not to be tried before")
    claimed_until = fields.DatetimeField(null=True, description="when another may take it over")

    class Meta:
        table = "github_deliveries"
        indexes = [Index(fields=("app_id", "received_at", "id"))]


class DeliveryBody(Model):
    """The bytes as they came, packed and sealed: beside the delivery, so that a list reads none of them."""

    delivery: fields.OneToOneRelation[Delivery] = fields.OneToOneField(
        "models.Delivery", related_name="body", primary_key=True
    )
    delivery_id: str
    sealed_body = fields.BinaryField()

    class Meta:
        table = "github_delivery_bodies"

    @property
    def sealed_context(self) -> tuple[str, ...]:
        return "github delivery", self.delivery_id


class DeliveryLook(Model):
    """How far GitHub's log of an app's deliveries was read, and who is at it: one worker at a time."""

    app: fields.OneToOneRelation[GitHubApp] = fields.OneToOneField(
        "models.GitHubApp", related_name="look", primary_key=True
    )
    app_id: str
    held_until = fields.DatetimeField(null=True, description="when another worker may take over")
    next_at = fields.DatetimeField(description="nothing is asked before")
    failures = fields.IntField(default=0, description="in a row")
    seen_at = fields.DatetimeField(null=True, description="attempts made before are known")
    cursor = fields.CharField(max_length=255, null=True, description="where an unfinished look goes on")
    reading_from = fields.DatetimeField(null=True, description="the newest attempt that the unfinished look has seen")
    unreached_at = fields.DatetimeField(null=True, description="since when deliveries are fetched, as none arrives")
    trouble = fields.CharField(max_length=255, null=True, description="what GitHub said of an attempt then")

    class Meta:
        table = "github_delivery_looks"


class LostDelivery(Model):
    """A delivery that GitHub could not bring, until it is here or nobody keeps it any more."""

    id = fields.IntField(primary_key=True)
    app: fields.ForeignKeyRelation[GitHubApp] = fields.ForeignKeyField("models.GitHubApp", related_name="lost")
    app_id: str
    guid = fields.CharField(max_length=64)
    event = fields.CharField(max_length=64)
    number = fields.BigIntField(description="of the attempt that GitHub is asked to repeat")
    delivered_at = fields.DatetimeField(description="when that attempt was made")
    status = fields.CharField(max_length=255, description="what GitHub says of it")
    tries = fields.IntField(default=0, description="how often it was asked for")
    next_at = fields.DatetimeField()

    class Meta:
        table = "github_lost_deliveries"


class RepositoryLook(Model):
    """What the last look at a repository's refs has seen, so that the next one asks about what is new alone."""

    repository: fields.OneToOneRelation = fields.OneToOneField(
        "models.Repository", related_name=False, primary_key=True
    )
    repository_id: str
    settings = fields.CharField(max_length=64, default="", description="a digest of what its workspaces follow")
    pulls: dict[str, list[Any]] = fields.JSONField(
        default=dict, description="of each open pull request: its head, its base, how often planning it failed"
    )
    followers: dict[str, str] = fields.JSONField(default=dict, description="tags regexes by the workspaces' ids")
    tags: list[list[str]] = fields.JSONField(default=list, description="names and commits, in GitHub's order")
    tags_cut = fields.BooleanField(default=False, description="whether there were more tags than are read")

    class Meta:
        table = "github_repository_looks"


class Check(Model):
    """A check run we owe GitHub, one row each: what it should say, and what GitHub has heard.

    `wanted` is the newest verdict: the body, without the report that is made of the plan when it is sent.
    `wanted_number` rises with each (it is at least the number of the run's newest event), and `sent_number` follows
    when GitHub has answered.
    A commit has one check of a name and attempt.  A workspace's names its run, if it came to one; the aggregate of an
    organization names none.
    """

    id = fields.CharField(max_length=32, primary_key=True)
    repository_id: str
    repository: fields.ForeignKeyRelation = fields.ForeignKeyField("models.Repository", related_name=False)
    organization_id = fields.CharField(max_length=32)
    workspace_id = fields.CharField(max_length=32, null=True, description="null for an organization's aggregate")
    run_id = fields.CharField(max_length=32, null=True)
    name = fields.CharField(max_length=255)
    head_sha = fields.CharField(max_length=64)
    kind = fields.CharField(max_length=16, description="pull or group")
    ref = fields.CharField(max_length=255, description="the pull request's number, or the group's branch")
    attempt = fields.IntField(default=1)
    number = fields.BigIntField(null=True, description="GitHub's, once it has the check")
    is_shown = fields.BooleanField(
        default=True, db_default=True, description="false for one too many on its commit: it counts in the aggregate"
    )
    is_settled = fields.BooleanField(
        default=False, db_default=False, description="of an aggregate: no more workspaces will come to it"
    )
    is_status = fields.BooleanField(
        default=False, db_default=False, description="told as a commit status, since checks may not be written"
    )
    wanted: dict[str, Any] = fields.JSONField(default=dict, description="the body of the call")
    wanted_number = fields.IntField(default=0)
    wanted_at = fields.DatetimeField()
    is_final = fields.BooleanField(default=False, description="whether wanted completes it")
    sent_number = fields.IntField(default=0)
    sent_at = fields.DatetimeField(null=True)
    tries = fields.IntField(default=0, description="failed ones since the last that worked")
    next_at = fields.DatetimeField(null=True, description="not before; null when nothing is owed")
    failure = fields.TextField(null=True, description="why GitHub has not heard it")

    class Meta:
        table = "github_checks"
        indexes = [Index(fields=("run_id",)), Index(fields=("repository_id", "head_sha"))]


class Pace(Model):
    """How fast an installation may be written to, and who is at it: one call at a time, from whichever worker."""

    installation_id = fields.CharField(max_length=32, primary_key=True)
    held_until = fields.DatetimeField(null=True, description="when another worker may take over")
    next_at = fields.DatetimeField(description="nothing is written before")
    failures = fields.IntField(default=0, description="in a row")

    class Meta:
        table = "github_paces"


class ForkApproval(Model):
    """That somebody let one commit of a stranger's fork be planned in one workspace."""

    id = fields.IntField(primary_key=True)
    workspace_id = fields.CharField(max_length=32)
    repository_id = fields.CharField(max_length=32)
    pull_request_number = fields.IntField()
    sha = fields.CharField(max_length=64)
    approved_by_id = fields.CharField(max_length=32)
    github_login = fields.CharField(max_length=128)
    created_at = fields.DatetimeField()

    class Meta:
        table = "github_fork_approvals"


class LinkedAccount(Model):
    """The GitHub account of a user of ours, proved by signing in there."""

    id = fields.IntField(primary_key=True)
    app_id = fields.CharField(max_length=32, description="our id of the GitHub App it was proved through")
    user_id = fields.CharField(max_length=32)
    number = fields.BigIntField(description="GitHub's id of the account")
    login = fields.CharField(max_length=128)
    linked_at = fields.DatetimeField()

    class Meta:
        table = "github_linked_accounts"

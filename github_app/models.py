"""What is kept of GitHub: the app we are there, and what GitHub told us."""

from __future__ import annotations

from tortoise import fields
from tortoise.indexes import Index
from tortoise.models import Model


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
    sealed_private_key = fields.BinaryField()
    sealed_client_secret = fields.BinaryField(null=True)
    sealed_webhook_secret = fields.BinaryField()
    sealed_old_webhook_secret = fields.BinaryField(null=True)
    permissions: dict[str, str] = fields.JSONField(default=dict)
    events: list[str] = fields.JSONField(default=list)
    created_by_id = fields.CharField(max_length=32, null=True)
    created_at = fields.DatetimeField()
    heard_at = fields.DatetimeField(null=True, description="when the first good delivery came")

    class Meta:
        table = "github_apps"

    @property
    def sealed_context(self) -> tuple[str, ...]:
        return "github app", self.id


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

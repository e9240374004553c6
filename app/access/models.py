"""Who there is: people, what they belong to, and the credentials that speak for them."""

from __future__ import annotations

from tortoise import fields
from tortoise.indexes import Index

from app.storage.model import Model


class User(Model):
    """A person.  Site admins administer the installation; what an organization holds is seen by its members
    only."""

    id = fields.CharField(max_length=32, primary_key=True)
    username = fields.CharField(max_length=90, unique=True)
    email = fields.CharField(max_length=254, null=True)
    is_site_admin = fields.BooleanField(default=False)
    password_hash = fields.CharField(max_length=255, null=True, description="argon2id; never a token")
    created_at = fields.DatetimeField()

    class Meta:
        table = "users"


class Membership(Model):
    """A user belongs to an organization.  Until there are teams, each member is an owner."""

    id = fields.CharField(max_length=32, primary_key=True)
    organization: fields.ForeignKeyRelation = fields.ForeignKeyField("models.Organization", related_name="memberships")
    user: fields.ForeignKeyRelation[User] = fields.ForeignKeyField("models.User", related_name="memberships")
    created_at = fields.DatetimeField()

    class Meta:
        table = "memberships"
        indexes = [Index(fields=("user_id", "organization_id"))]


class Token(Model):
    """An API token of a user.  Only a keyed digest is kept; the text is shown once, when it is made."""

    id = fields.CharField(max_length=32, primary_key=True)
    user_id: str
    user: fields.ForeignKeyRelation[User] = fields.ForeignKeyField("models.User", related_name="tokens")
    digest = fields.CharField(max_length=64, unique=True)
    prefix = fields.CharField(max_length=32, description="its public beginning, to recognise it by")
    description = fields.CharField(max_length=255, default="")
    created_at = fields.DatetimeField()
    expires_at = fields.DatetimeField(null=True)
    last_used_at = fields.DatetimeField(null=True)

    class Meta:
        table = "tokens"
        indexes = [Index(fields=("user_id", "created_at"))]


class RunToken(Model):
    """The token of one phase of one run.  It speaks only while its job is open, so it dies with the phase."""

    id = fields.CharField(max_length=32, primary_key=True)
    job: fields.ForeignKeyRelation = fields.ForeignKeyField("models.Job", related_name="run_tokens")
    claim = fields.IntField(description="the claim of the job it was minted under; an older one is refused")
    digest = fields.CharField(max_length=64, unique=True)
    created_at = fields.DatetimeField()

    class Meta:
        table = "run_tokens"
        indexes = [Index(fields=("job_id",))]


class Session(Model):
    """A signed-in browser: a row that can be revoked, behind a random cookie kept as a digest."""

    id = fields.CharField(max_length=32, primary_key=True)
    user: fields.ForeignKeyRelation[User] = fields.ForeignKeyField("models.User", related_name="sessions")
    digest = fields.CharField(max_length=64, unique=True)
    form_token = fields.CharField(max_length=64, description="what each form post of this session must carry")
    user_agent = fields.CharField(max_length=255, default="")
    created_at = fields.DatetimeField()
    expires_at = fields.DatetimeField()

    class Meta:
        table = "sessions"
        indexes = [Index(fields=("user_id",))]


class LoginLink(Model):
    """A link that signs its user in once, within the hour."""

    id = fields.CharField(max_length=32, primary_key=True)
    user: fields.ForeignKeyRelation[User] = fields.ForeignKeyField("models.User", related_name="login_links")
    digest = fields.CharField(max_length=64, unique=True)
    created_at = fields.DatetimeField()
    expires_at = fields.DatetimeField()
    used_at = fields.DatetimeField(null=True)

    class Meta:
        table = "login_links"
        indexes = [Index(fields=("user_id",))]

"""Rows about what lies in the object store."""

from __future__ import annotations

from tortoise import fields
from tortoise.indexes import Index

from app import clock, ids
from app.storage.model import Model


class StoredObject(Model):
    """One encrypted object: where its key is, and what its clear text measures.

    Key id and wrapped data key are here and not in the object, so a new key encrypts rows anew and no object.
    """

    id = fields.CharField(primary_key=True, max_length=32, default=ids.maker("stored_object"))
    kind = fields.CharField(max_length=32)
    organization_id = fields.CharField(max_length=32, null=True)
    key_id = fields.CharField(max_length=64)
    wrapped_key = fields.BinaryField()
    size = fields.BigIntField()
    md5 = fields.CharField(max_length=32)
    sha256 = fields.CharField(max_length=64)
    stored_at = fields.DatetimeField(default=clock.now)

    class Meta:
        table = "stored_objects"
        indexes = (Index(fields=("key_id",)), Index(fields=("organization_id", "kind")))


class KeyInUse(Model):
    """A key that something stored is, or was, encrypted with: by it a wrong key file is noticed at the
    start."""

    key_id = fields.CharField(primary_key=True, max_length=64)
    since = fields.DatetimeField(default=clock.now)
    retired_at = fields.DatetimeField(null=True, description="when another key became active")

    class Meta:
        table = "keys_in_use"


class LastingKey(Model):
    """A key that outlives the ring's: what was digested with it cannot be digested anew.  Sealed by the ring."""

    purpose = fields.CharField(primary_key=True, max_length=16)
    sealed_key = fields.BinaryField()

    class Meta:
        table = "lasting_keys"

    @property
    def sealed_context(self) -> tuple[str, ...]:
        return "lasting key", self.purpose
